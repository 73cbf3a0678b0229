"""Say what a search of settings adds to a training: when it is measured, and by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rungs:
    """After how many examples a training is measured besides its end, and by what.

    `objective` is {dimension: weight}. The mean of `select_by` over these dimensions, by these
    weights, is the dev score that chooses the checkpoint.
    """

    examples: tuple[int, ...]
    objective: Mapping[int, float]

    def inputs(self) -> dict[str, Any]:
        """Return what a checkpoint depends on besides the inputs of any training."""
        return {"rungs": [self.examples, sorted(self.objective.items())]}

    def steps(self, rows: int) -> frozenset[int]:
        """Return the steps, of so many rows each, by which the examples were seen."""
        return frozenset(-(-count // rows) for count in self.examples)

    def score(self, metrics: Mapping[int, float]) -> float:
        """Return the weighted mean of {dimension: value}."""
        weighted = [weight * metrics[dimension] for dimension, weight in self.objective.items()]
        return sum(weighted) / sum(self.objective.values())


@dataclass(frozen=True)
class Trial:
    """One training of a search; `callbacks` are Ray Train's, made where `train` is called."""

    rungs: Rungs
    callbacks: Sequence[Any] = ()
    gpus_per_worker: float = 1.0
