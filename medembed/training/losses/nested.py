"""Matryoshka dimensions with their weights, and which of them a step computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Nested:
    """Dimensions and a weight for each; `per_step` of them are computed in a step, null: all."""

    dimensions: tuple[int, ...]
    weights: tuple[float, ...]
    per_step: int | None = None
    seed: int = 0

    @classmethod
    def of(
        cls,
        dimensions: Sequence[int],
        weights: Sequence[float] | None = None,
        per_step: int | None = None,
        seed: int = 0,
    ) -> "Nested":
        """Without weights all dimensions weigh alike."""
        return cls(tuple(dimensions), tuple(weights or (1.0,) * len(dimensions)), per_step, seed)

    @property
    def whole(self) -> float:
        """What a weighted sum over dimensions is divided by, so that the loss is a weighted
        mean.
        """
        return sum(self.weights)

    def draw(self, step: int) -> list[tuple[int, float]]:
        """(dimension, weight) of a step, ascending; the same on all ranks, since only seed and step
        decide.

        The widest dimension is in every step: the sum of blocks passes it anyway, and users without
        a wish get it. The others are drawn alike, and weigh as much more as they come seldom, so
        that the mean over steps is the loss over all dimensions.
        """
        every = sorted(zip(self.dimensions, self.weights, strict=True))
        if self.per_step is None or self.per_step >= len(every):
            return every
        *others, widest = every
        count = self.per_step - 1
        chosen = np.random.default_rng((self.seed, step)).choice(len(others), count, replace=False)
        return [
            (others[line][0], others[line][1] * len(others) / count) for line in sorted(chosen)
        ] + [widest]
