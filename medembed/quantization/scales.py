"""Choose the steps of eight bits for a linear layer: of what it reads, and of its weights. Pure.

What a layer reads has channels whose values lie far apart, and one step has to serve all of them.
So each channel is moved to the middle of its range, and divided by a number that its weights are
multiplied by: a part of what is hard to round goes from the inputs to the weights, where each row
has steps of its own (Xiao et al. 2022, arXiv:2211.10438; moved: Wei et al. 2023, arXiv:2304.09145).
It costs a multiplication and an addition for each number that is read; the rest is in the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
STEPS = 255  # of unsigned bytes, which inputs become
_LARGEST = 127  # of signed bytes, which weights become
_MOVED = 0.5  # the share of what is hard to round that goes from the inputs to the weights
_TINY = 1e-6
_NOTHING = 1e-30  # keeps a row of zeros from being divided by zero


class Seen(NamedTuple):
    """The lowest and the highest value of each channel of an input, float32 [I]."""

    low: Floats
    high: Floats

    def joined(self, other: "Seen") -> "Seen":
        """Return the ranges that hold both."""
        return Seen(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass(frozen=True)
class InputScale:
    """How an input becomes codes 0 to 255: times `factor`, plus `offset`, float32 [I], rounded."""

    factor: Floats
    offset: Floats


class CodedRows(NamedTuple):
    """Rows as codes int8 [n, D] times steps float32 [n, 1]."""

    codes: npt.NDArray[np.int8]
    steps: Floats


@dataclass(frozen=True)
class CodedLinear:
    """A layer that reads codes v of its input: y = (codes * steps) v + bias.

    codes int8 [O, I], steps float32 [O, 1], bias float32 [O].
    """

    codes: npt.NDArray[np.int8]
    steps: Floats
    bias: Floats


def scale_input(seen: Seen, weights: Sequence[Floats]) -> InputScale:
    """Return the scale of an input that layers of these weights, float32 [O, I] each, read."""
    low = seen.low.astype(np.float64)
    high = seen.high.astype(np.float64)
    half = np.maximum((high - low) / 2, _TINY)
    largest = np.max([np.abs(matrix).max(axis=0) for matrix in weights], axis=0)
    divisor = half**_MOVED / np.maximum(largest, _TINY).astype(np.float64) ** (1 - _MOVED)
    reach = (half / divisor).max()
    factor = STEPS / (2 * reach * divisor)
    offset = STEPS / 2 - (low + high) / 2 * factor
    return InputScale(factor.astype(np.float32), offset.astype(np.float32))


def code_linear(weights: Floats, bias: Floats, scale: InputScale) -> CodedLinear:
    """Return a layer y = weights x + bias, float32 [O, I] and [O], for an input of this scale."""
    factor = scale.factor.astype(np.float64)
    coded = code_rows(weights / factor)
    rounded = coded.codes.astype(np.float64) * coded.steps
    # What is in the middle of all ranges loses nothing.
    middle = (STEPS / 2 - scale.offset) / factor
    less = rounded.sum(axis=1) * STEPS / 2
    return CodedLinear(
        coded.codes, coded.steps, (bias + weights @ middle - less).astype(np.float32)
    )


def code_rows(rows: npt.NDArray[Any]) -> CodedRows:
    """Return rows of numbers [n, D] as codes, each row with the step that its largest one needs."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.maximum(largest, _NOTHING) / _LARGEST
    codes = np.clip(np.round(rows / steps), -_LARGEST, _LARGEST)
    return CodedRows(codes.astype(np.int8), steps.astype(np.float32))
