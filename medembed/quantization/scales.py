"""Choose the steps of eight bits for a linear layer: of what it reads, and of its weights. Pure.

What a layer reads has channels whose values lie far apart, and one step has to serve all of them.
So each channel is moved to the middle of its range, and divided by a number that its weights are
multiplied by: a part of what is hard to round goes from the inputs to the weights, where each row
has steps of its own (Xiao et al. 2022, arXiv:2211.10438; moved: Wei et al. 2023, arXiv:2304.09145).
How large a part is best differs from layer to layer, and is tried on rows of its inputs. The mean
of what rounding still adds is taken from the bias (Nagel et al. 2019, arXiv:1906.04721, section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
STEPS = 255  # of unsigned bytes, which inputs become
_LARGEST = 127  # of signed bytes, which weights become
_SHARES = (0.5, 0.6, 0.75, 0.9)  # of what is hard to round, that go to the weights
_TINY = 1e-6
_NOTHING = 1e-30  # keeps a row of zeros from being divided by zero


class Seen(NamedTuple):
    """What was seen of an input: the lowest and highest value of each channel, float32 [I], and
    some of its rows, float32 [n, I].
    """

    low: Floats
    high: Floats
    rows: Floats

    @classmethod
    def of(cls, values: Floats, rows: int) -> "Seen":
        """Return what is seen of values float32 [N, I], with so many rows, evenly spaced."""
        kept = values[:: max(1, -(-len(values) // rows))]
        return cls(values.min(axis=0), values.max(axis=0), kept)

    def joined(self, other: "Seen") -> "Seen":
        """Return what both have seen."""
        return Seen(
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            np.concatenate([self.rows, other.rows]),
        )


@dataclass(frozen=True)
class InputScale:
    """How an input becomes codes 0 to 255: times `factor`, plus `offset`, float32 [I], rounded."""

    factor: Floats
    offset: Floats

    def codes(self, inputs: Floats) -> Floats:
        """Return the codes of inputs float32 [n, I], as numbers."""
        codes: Floats = np.clip(np.round(inputs * self.factor + self.offset), 0, STEPS)
        return codes


class CodedRows(NamedTuple):
    """Rows as codes int8 [n, D] times steps float32 [n, 1]."""

    codes: npt.NDArray[np.int8]
    steps: Floats

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """What the codes stand for, [n, D]."""
        return np.asarray(self.codes * self.steps.astype(np.float64))


@dataclass(frozen=True)
class CodedLinear:
    """A layer that reads codes v of its input: y = weights.values v + bias, float32 [O]."""

    weights: CodedRows
    bias: Floats


def scale_input(seen: Seen, weights: Sequence[Floats]) -> InputScale:
    """Return the scale of an input that layers of these weights, float32 [O, I] each, read."""
    matrix = np.concatenate(weights)
    exact = seen.rows @ matrix.T
    scales = [_scale(seen, matrix, share) for share in _SHARES]
    spreads = []
    for scale in scales:
        coded = _code_weights(matrix, scale).values.astype(np.float32)
        errors = scale.codes(seen.rows) @ coded.T - exact
        spreads.append(float(errors.var(axis=0, dtype=np.float64).sum()))  # the mean is the bias's
    return scales[int(np.argmin(spreads))]


def code_linear(weights: Floats, bias: Floats, scale: InputScale, rows: Floats) -> CodedLinear:
    """Return a layer y = weights x + bias, float32 [O, I] and [O], for an input of this scale.

    `rows` float32 [n, I] of the input get the right vector on average.
    """
    coded = _code_weights(weights, scale)
    exact = _multiply(weights, rows)
    computed = _multiply(coded.values, scale.codes(rows))
    return CodedLinear(coded, (bias + exact - computed).astype(np.float32))


def code_rows(rows: npt.NDArray[Any]) -> CodedRows:
    """Return rows of numbers [n, D] as codes, each row with the step that its largest one needs."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.maximum(largest, _NOTHING) / _LARGEST
    codes = np.clip(np.round(rows / steps), -_LARGEST, _LARGEST)
    return CodedRows(codes.astype(np.int8), steps.astype(np.float32))


def _scale(seen: Seen, weights: Floats, share: float) -> InputScale:
    """Return the scale that moves this share of what is hard to round to the weights."""
    low = seen.low.astype(np.float64)
    high = seen.high.astype(np.float64)
    half = np.maximum((high - low) / 2, _TINY)
    largest = np.maximum(np.abs(weights).max(axis=0), _TINY).astype(np.float64)
    divisor = half**share / largest ** (1 - share)
    reach = (half / divisor).max()
    factor = STEPS / (2 * reach * divisor)
    offset = STEPS / 2 - (low + high) / 2 * factor
    return InputScale(factor.astype(np.float32), offset.astype(np.float32))


def _multiply(weights: npt.NDArray[Any], rows: Floats) -> npt.NDArray[np.float64]:
    """Return weights [O, I] times the mean of the rows [n, I], the same on any number of cores.

    BLAS may add in another order where it has more threads.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    product: npt.NDArray[np.float64] = np.einsum("oi,i->o", weights, mean)
    return product


def _code_weights(weights: Floats, scale: InputScale) -> CodedRows:
    return code_rows(weights / scale.factor.astype(np.float64))
