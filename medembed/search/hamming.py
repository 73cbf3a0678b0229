"""Find the rows whose bits differ least from a query's: a first pass over 1/32 of float32's bytes.

Exact, by XOR and a count of bits in words of 64 dimensions. Distances are whole numbers, of which
many are equal: ties fall in the order of rows, as everywhere.
"""

import numpy as np
import numpy.typing as npt

from medembed.bits import Bits
from medembed.search.float64_scores import Numbers
from medembed.search.held import BitRows, to_words

Distances = npt.NDArray[np.uint16]
_ROWS_AT_ONCE = 16_384  # whose words, counts and sums stay in a core's cache


def nearest_rows(
    queries: Bits,
    dimensions: int,
    rows: BitRows,
    n: int,
    document: Numbers | None,
    among: npt.NDArray[np.bool_] | None = None,
) -> Numbers:
    """Return n rows whose first `dimensions` bits differ least from each query's, int64 [Q, n].

    queries uint8 [Q, ceil(dimensions / 8)], filled up with zeros. Rows come in their own order; -1
    fills up. Of rows with one number in `document` [N], which does not fall, the nearest counts,
    and the first of them comes. Rows that are not `among` these are not found.
    """
    words = to_words(queries, rows.words.shape[0])
    mask = _mask(dimensions, rows.words.shape[0])
    starts = None
    if document is not None:
        starts = np.flatnonzero(np.diff(document, prepend=document[:1] - 1))
    nearest = np.full((len(queries), n), -1)
    for line, asked in enumerate(words):
        distances = measure_distances(rows, asked, mask)
        far = np.uint16(dimensions + 1)
        if among is not None:
            distances[~among] = far
        if starts is not None and len(starts):
            distances = np.minimum.reduceat(distances, starts)
        found = _smallest(distances, n, far)
        nearest[line, : len(found)] = found if starts is None else starts[found]
    return nearest


def measure_distances(
    rows: BitRows, query: npt.NDArray[np.uint64], mask: npt.NDArray[np.uint64]
) -> Distances:
    """Return in how many bits, of those set in `mask` [words], each row differs: uint16 [N]."""
    used = np.flatnonzero(mask).tolist()
    distances = np.zeros(rows.words.shape[1], dtype=np.uint16)
    differing = np.empty(_ROWS_AT_ONCE, dtype=np.uint64)
    counts = np.empty(_ROWS_AT_ONCE, dtype=np.uint8)
    for start in range(0, len(distances), _ROWS_AT_ONCE):
        total = distances[start : start + _ROWS_AT_ONCE]
        here = slice(0, len(total))
        for word in used:
            held = rows.words[word, start : start + _ROWS_AT_ONCE]
            np.bitwise_xor(held, query[word], out=differing[here])
            if mask[word] != _ALL:
                differing[here] &= mask[word]
            np.bitwise_count(differing[here], out=counts[here])
            total += counts[here]
    return distances


_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def _mask(dimensions: int, words: int) -> npt.NDArray[np.uint64]:
    """Return the bits of the first dimensions, uint64 [words]."""
    packed = np.packbits(np.ones((1, dimensions), dtype=np.uint8), axis=1)
    mask: npt.NDArray[np.uint64] = to_words(packed, words)[0]
    return mask


def _smallest(distances: Distances, n: int, far: np.uint16) -> Numbers:
    """Return the places of the n smallest, rising; of equal ones the first. None is `far`."""
    counts = np.bincount(distances, minlength=int(far) + 1)[: int(far)].cumsum()
    limit = int(np.searchsorted(counts, n))
    if limit == int(far):
        return np.flatnonzero(distances < far)
    smaller = np.flatnonzero(distances < limit)
    equal = np.flatnonzero(distances == limit)[: n - len(smaller)]
    return np.sort(np.concatenate([smaller, equal]))
