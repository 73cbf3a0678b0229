"""Choose the steps of eight bits for a linear layer: of what it reads, and of its weights. Pure.

What a layer reads has channels whose values lie far apart, and one step has to serve all of them.
So each channel is moved to the middle of its range, and divided by a number that its weights are
multiplied by: a part of what is hard to round goes from the inputs to the weights, where each row
has steps of its own (Xiao et al. 2022, arXiv:2211.10438; moved: Wei et al. 2023, arXiv:2304.09145).
All of this is folded into the ranges of the inputs, the codes and the bias, and costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
STEPS = 255  # of unsigned bytes, which inputs become
_LARGEST = 127  # of signed bytes, which weights become
_TINY = 1e-6


class Seen(NamedTuple):
    """The lowest and the highest value of each channel of an input, float32 [I]."""

    low: Floats
    high: Floats

    def joined(self, other: "Seen") -> "Seen":
        """Return the ranges that hold both."""
        return Seen(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass(frozen=True)
class InputScale:
    """How an input becomes codes 0 to 255.

    A channel's range from `low` to `high`, float32 [I], is mapped onto 0 to `top`, in 255 steps.
    """

    low: Floats
    high: Floats
    top: float


class CodedRows(NamedTuple):
    """Rows as codes int8 [n, D] times steps float32 [n, 1]."""

    codes: npt.NDArray[np.int8]
    steps: Floats


@dataclass(frozen=True)
class CodedLinear:
    """A layer that reads codes of its input: y = (codes * steps) v + bias, v from 0 to `top`.

    codes int8 [O, I], steps float32 [O, 1], bias float32 [O].
    """

    codes: npt.NDArray[np.int8]
    steps: Floats
    bias: Floats


def scale_input(seen: Seen, weights: Sequence[Floats], share: float = 0.5) -> InputScale:
    """Return the scale of an input that layers of these weights, float32 [O, I] each, read.

    `share` of what is hard to round moves to the weights.
    """
    low = seen.low.astype(np.float64)
    high = seen.high.astype(np.float64)
    half = np.maximum((high - low) / 2, _TINY)
    largest = np.max([np.abs(matrix).max(axis=0) for matrix in weights], axis=0)
    divisor = half**share / np.maximum(largest, _TINY).astype(np.float64) ** (1 - share)
    reach = float((half / divisor).max())
    middle = (low + high) / 2
    return InputScale(
        (middle - divisor * reach).astype(np.float32),
        (middle + divisor * reach).astype(np.float32),
        2 * reach,
    )


def code_linear(weights: Floats, bias: Floats, scale: InputScale) -> CodedLinear:
    """Return a layer y = weights x + bias, float32 [O, I] and [O], for an input of this scale."""
    low = scale.low.astype(np.float64)
    divisor = (scale.high.astype(np.float64) - low) / scale.top
    coded = code_rows(weights * divisor)
    rounded = coded.codes.astype(np.float64) * coded.steps
    # What is in the middle of all ranges loses nothing.
    middle = low + divisor * scale.top / 2
    less = rounded.sum(axis=1) * scale.top / 2
    return CodedLinear(
        coded.codes, coded.steps, (bias + weights @ middle - less).astype(np.float32)
    )


def code_rows(rows: npt.NDArray[Any]) -> CodedRows:
    """Return rows of numbers [n, D] as codes, each row with the step that its largest one needs."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.maximum(largest, _TINY) / _LARGEST
    codes = np.clip(np.round(rows / steps), -_LARGEST, _LARGEST)
    return CodedRows(codes.astype(np.int8), steps.astype(np.float32))
