"""Keep in a checkpoint where the run stands: steps, examples seen, the best dev score."""

import dataclasses
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medembed.errors import TrainingError
from medembed.schema import content_hash
from medembed.training.rows.order import Position

FILE = "training_state.json"


@dataclass(frozen=True)
class TrainingState:
    """Where a run stands after `step` optimiser steps by `workers`.

    `scheduled` are the steps that the learning rate's schedule counts: as many as `step`, unless
    the number of workers was another at times. `best` is the highest dev score, `stale` the
    evaluations since without a gain.
    """

    workers: int
    step: int = 0
    scheduled: float = 0.0
    position: Position = field(default_factory=Position)
    best: float | None = None
    stale: int = 0

    def write(self, folder: Path) -> None:
        """Write the state into a checkpoint's folder, as JSON."""
        (folder / FILE).write_text(json.dumps(dataclasses.asdict(self)))


def read_state(folder: Path) -> TrainingState:
    """Return the state in a checkpoint's folder; TrainingError if it has none that can be read."""
    try:
        values = json.loads((folder / FILE).read_text())
        return TrainingState(**values | {"position": Position(**values["position"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise TrainingError(
            "{file}: not the state of a training; another release made it: delete the run "
            "and train again.",
            file=folder / FILE,
        ) from None


def after_evaluation(state: TrainingState, score: float) -> TrainingState:
    """Return the state with one more evaluation: a score above the best is a gain."""
    if state.best is None or score > state.best:
        return dataclasses.replace(state, best=score, stale=0)
    return dataclasses.replace(state, stale=state.stale + 1)


def is_over(state: TrainingState, patience: int | None) -> bool:
    """Return whether so many evaluations in a row brought no gain."""
    return patience is not None and state.stale >= patience


def reseed(seed: int, state: TrainingState, rank: int) -> None:
    """Set new random numbers where the checkpoint came from another number of workers."""
    import torch

    number = int(content_hash(f"{seed} {state.step} {rank}")[:8], 16)
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
