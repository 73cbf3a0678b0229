"""What a checkpoint holds beside weights, optimizer and random numbers: where the run stands and
what it has seen.
"""

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
    """After `step` optimiser steps by `workers`.

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
        """Into a checkpoint's folder, as JSON."""
        (folder / FILE).write_text(json.dumps(dataclasses.asdict(self)))


def read_state(folder: Path) -> TrainingState:
    """The state in a checkpoint's folder. Raises TrainingError if it has none that can be read."""
    try:
        values = json.loads((folder / FILE).read_text())
        return TrainingState(**values | {"position": Position(**values["position"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise TrainingError(
            f"{folder / FILE}: not the state of a training; another release made it: delete "
            "the run and train again."
        ) from None


def after_evaluation(state: TrainingState, score: float, min_gain: float) -> TrainingState:
    """The state with one more evaluation: a gain is a score of at least `min_gain`, and not 0,
    above the best.
    """
    if state.best is None or (score > state.best and score >= state.best + min_gain):
        return dataclasses.replace(state, best=score, stale=0)
    return dataclasses.replace(state, stale=state.stale + 1)


def is_over(state: TrainingState, patience: int | None) -> bool:
    """Whether so many evaluations in a row brought no gain."""
    return patience is not None and state.stale >= patience


def reseed(seed: int, state: TrainingState, rank: int) -> None:
    """New random numbers for a worker that no checkpoint has any for: as many workers as now it was
    not made by.
    """
    import torch

    number = int(content_hash(f"{seed} {state.step} {rank}")[:8], 16)
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
