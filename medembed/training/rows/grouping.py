"""Orders of a pass that bring alike rows together: of like length for less padding, of one class in
pairs. Pure.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

# rows are sorted within so many steps: longer windows pad little less, and mix less
_STEPS_PER_WINDOW = 50


def group_by_length(lengths: Sequence[int], size: int, generator: np.random.Generator) -> Indices:
    """int64 [len(lengths)]: row numbers, of which each `size` in turn, a step's, are of like
    length.

    Rows are shuffled, then sorted within windows of 50 steps; the steps' order is shuffled, and the
    rows of a step too, so that no worker gets the long ones. The last rows, which fill no step,
    stay as the shuffle left them.
    """
    order = generator.permutation(len(lengths))
    whole = len(order) // size * size
    sizes, steps = np.asarray(lengths), []
    for start in range(0, whole, _STEPS_PER_WINDOW * size):
        window = order[start : min(start + _STEPS_PER_WINDOW * size, whole)]
        window = window[np.argsort(sizes[window], kind="stable")]
        steps += np.split(window, len(window) // size)
    mixed = [generator.permutation(steps[place]) for place in generator.permutation(len(steps))]
    return np.concatenate([*mixed, order[whole:]])


def pair_by_class(labels: Sequence[int], generator: np.random.Generator) -> Indices:
    """int64 [count_paired(labels)]: row numbers in pairs of one class, so that in batches of even
    size none is alone.

    A class with an odd number of rows leaves one of them out, another in each pass.
    """
    order = generator.permutation(len(labels))
    classes = np.asarray(labels)[order]
    by_class = np.argsort(classes, kind="stable")
    _, first, counts = np.unique(classes[by_class], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, counts)
    paired = order[by_class][place < np.repeat(counts - counts % 2, counts)]
    return generator.permutation(paired.reshape(-1, 2)).ravel()


def count_paired(labels: Sequence[int] | Sequence[str]) -> int:
    """How many rows `pair_by_class` gives."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return int((counts - counts % 2).sum())
