"""One trial in a process of its own: cuts its examples, trains, tells Ray Tune at each rung."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from medembed import storage
from medembed.data.dataset import open_dataset
from medembed.errors import MedEmbedError, WorkersLost
from medembed.evaluation.retention.sets import RetentionSet
from medembed.mining.examples import Examples, open_examples
from medembed.mining.subset import cut_examples
from medembed.privacy import silence_telemetry
from medembed.training.config import TrainingConfig
from medembed.training.record.card import HISTORY
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.history import DEV, SCORE
from medembed.training.record.retention_samples import draw_retention_samples
from medembed.training.train import train
from medembed.training.trial import Rungs, Trial
from medembed.tuning.config import TuneConfig
from medembed.tuning.records import FOLDER, MODEL, name_of
from medembed.tuning.room import needs
from medembed.tuning.space import Point

# Of what a trial reports; DONE comes last, with its best measurement.
OBJECTIVE, EXAMPLES, FAILED, DONE = "objective", "examples", "failed", "checkpoint"


@dataclass(frozen=True)
class Shared:
    """What all trials have in common; places are URIs that every node can reach.

    `pool` holds the examples that negatives are cut from; None where the loss reads none. On the
    retention `sets` no trial may lose; each draws its samples itself, since Ray Tune writes what is
    here to a node's disk.
    """

    config: TuneConfig
    output: str
    model: str
    dataset: str
    pool: str | None
    sets: tuple[RetentionSet, ...] = ()


def run_trial(asked: dict[str, Any], shared: Shared) -> None:
    """Ray Tune's function: trains trial `asked["number"]` at `asked["point"]`; goes on where it
    died.

    What cannot be trained, or diverges, is reported as failed and not tried again; other deaths
    are.
    """
    silence_telemetry()
    from ray import tune

    try:
        checkpoint = train_trial(int(asked["number"]), asked["point"], shared)
        course = list(measurements(checkpoint, asked["point"], shared.config))
        for measured in course:
            tune.report(measured)  # once more: what a driver that died had not heard of
        best = max(course, key=lambda measured: measured[OBJECTIVE])
        tune.report(best | {EXAMPLES: shared.config.examples, DONE: checkpoint.uri})
    except WorkersLost:
        raise
    except MedEmbedError as error:
        tune.report({OBJECTIVE: math.nan, EXAMPLES: 0, FAILED: str(error)})
    # settings that do not go together; pydantic's message would hold values
    except ValueError as error:
        tune.report(
            {
                OBJECTIVE: math.nan,
                EXAMPLES: 0,
                FAILED: f"settings that do not go together: {_summary(error)}",
            }
        )


def train_trial(number: int, point: Point, shared: Shared) -> Checkpoint:
    """The trial's checkpoint, where `place_of` says."""
    from medembed.tuning.tell import TellTune

    config = shared.config
    training, mining = config.settings(point)
    examples = find_examples(shared, mining.negatives, mining.margin)
    trial = Trial(_rungs(config), [TellTune(rows_of(training))], needs(config)[1].get("GPU", 1.0))
    elsewhere = draw_retention_samples(shared.sets, config.retention)
    place = place_of(shared, number)
    return train(
        open_dataset(shared.dataset), examples, shared.model, place, training, trial, elsewhere
    )


def measurements(
    checkpoint: Checkpoint, point: Point, config: TuneConfig
) -> Iterator[dict[str, Any]]:
    """What a trial reported at each rung and at its end, from its checkpoint's history."""
    training = config.settings(point)[0]
    for entry in json.loads(checkpoint.read(HISTORY)[HISTORY]):
        metrics = {
            name.removeprefix(DEV): value for name, value in entry.items() if name.startswith(DEV)
        }
        if metrics:
            yield {
                OBJECTIVE: entry[SCORE],
                EXAMPLES: int(entry["step"]) * rows_of(training),
                **metrics,
            }


def rows_of(training: TrainingConfig) -> int:
    """Examples of a step."""
    return training.batch_size * training.accumulation_steps * training.most_workers


def _rungs(config: TuneConfig) -> Rungs:
    return Rungs(config.rung_examples, config.weights)


def find_examples(shared: Shared, negatives: int, margin: float | None) -> Examples | None:
    """The examples of a trial, cut from the pool; None where the loss reads none."""
    if shared.pool is None:
        return None
    place = storage.join(shared.output, "examples", "{key}")
    return cut_examples(open_examples(shared.pool), place, negatives, margin)


def place_of(shared: Shared, number: int) -> str:
    """Where a trial's checkpoint lies."""
    return storage.join(shared.output, FOLDER, name_of(number), MODEL)


def best_settings(shared: Shared, point: Point) -> tuple[TrainingConfig, Examples | None]:
    """A trial's training config and examples."""
    training, mining = shared.config.settings(point)
    return training, find_examples(shared, mining.negatives, mining.margin)


def _summary(error: ValueError) -> str:
    return (
        str(error.errors()[0]["msg"])
        if isinstance(error, ValidationError)
        else type(error).__name__
    )
