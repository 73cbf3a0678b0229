"""Score pairs in float64, in one order of addition; bound the error of a float32 multiply."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import truncate

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
_UNIT_ROUNDOFF = 2.0**-24
_SQUARE_TOLERANCE = 1e-3  # of a unit row's squared length: rounding leaves far less
_LANES = 64
_PAIRS_AT_ONCE = 256  # 0.8 MB of products at 384 dimensions: they stay in a core's cache


def error_bound(dimensions: int) -> float:
    """Bound how far a float32 product of two `unit_rows` lies from their `pair_scores`.

    In any order of summation, with fused multiply-add or without, |fl(x.y) - x.y| <= gamma |x||y|,
    gamma = d u / (1 - d u), u = 2^-24 (Higham 2002, Accuracy and Stability of Numerical Algorithms,
    eq. 3.5). One per cent more covers lengths that rounding leaves above 1, numbers that underflow,
    and the rounding of float64. It does not hold for TF32, bfloat16 or Strassen's algorithm.
    """
    error = dimensions * _UNIT_ROUNDOFF
    return 1.01 * error / (1 - error)


class UnitRows(NamedTuple):
    """Rows float32 [n, d] of unit length, and the numbers of those that are useless."""

    rows: Vectors
    useless: Numbers


def unit_rows(vectors: Vectors, dimensions: int) -> UnitRows:
    """Return the `truncate`d rows [n, dimensions], and which of them are useless.

    Those are rows that hold NaN or infinity anywhere, or numbers so large or small that their
    length cannot be computed. Rows of zeros are fine and stay zeros.
    """
    with np.errstate(all="ignore"):
        rows = truncate(np.ascontiguousarray(vectors), dimensions)
        squares = np.einsum("nd,nd->n", rows, rows)
        is_unit = np.abs(squares - 1) <= _SQUARE_TOLERANCE
    doubtful = np.flatnonzero(~is_unit)
    is_zero = ~vectors[doubtful, :dimensions].any(axis=1)
    is_finite = np.isfinite(vectors).all(axis=1)
    is_unit[doubtful] = is_zero
    return UnitRows(rows, np.flatnonzero(~(is_unit & is_finite)))


def pair_scores(queries: Vectors, lines: Numbers, documents: Vectors, rows: Numbers) -> Scores:
    """Return the products of queries[lines[p]] and documents[rows[p]], float64 [P].

    The product of two float32 is exact in float64. Columns of 64 products are added one after the
    other, then the second half of the 64 sums to the first, until one is left. Each step adds whole
    arrays element by element, which IEEE 754 defines to the last bit, and the steps follow from the
    width alone. NumPy's `sum`, `dot` and `einsum` promise no order.
    """
    for numbers, vectors in ((lines, queries), (rows, documents)):
        assert not len(numbers) or 0 <= numbers.min() <= numbers.max() < len(vectors)
    queries = np.ascontiguousarray(queries)
    documents = np.ascontiguousarray(documents)
    scores = np.empty(len(lines))
    size = min(_PAIRS_AT_ONCE, len(lines))
    # Made once: fresh pages for every part cost as much as the sums.
    values = np.empty((size, queries.shape[1]), dtype=np.float32)
    products = np.empty((size, queries.shape[1]), dtype=np.float64)
    for start in range(0, len(lines), _PAIRS_AT_ONCE):
        part = slice(start, start + size)
        here = slice(0, len(lines[part]))
        np.take(queries, lines[part], axis=0, out=values[here], mode="clip")
        products[here] = values[here]
        np.take(documents, rows[part], axis=0, out=values[here], mode="clip")
        products[here] *= values[here]
        scores[part] = _add_up(products[here])
    return scores


def _add_up(products: Scores) -> Scores:
    """Sum each row of products [P, d]."""
    lanes = products[:, :_LANES].copy()
    for start in range(_LANES, products.shape[1], _LANES):
        column = products[:, start : start + _LANES]
        lanes[:, : column.shape[1]] += column
    sums = np.ascontiguousarray(lanes.T)
    while len(sums) > 1:
        half = (len(sums) + 1) // 2
        sums[: len(sums) - half] += sums[half:]
        sums = sums[:half]
    return sums[0]
