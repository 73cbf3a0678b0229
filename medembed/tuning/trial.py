"""Run one trial in its own process: cut its examples, train, report to Ray Tune at rungs."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from medembed import storage
from medembed.config_faults import explain_value
from medembed.data.dataset import open_dataset
from medembed.errors import MedEmbedError, WorkersLost
from medembed.evaluation.retention.sets import RetentionSet
from medembed.language import tr
from medembed.mining.config import MiningConfig
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
from medembed.tuning.capacity import worker_resources
from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Point
from medembed.tuning.trials import DONE, EXAMPLES, FAILED, OBJECTIVE, model_place


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

    def cut_pool(self, mining: MiningConfig) -> Examples | None:
        """Return a trial's examples, cut from the pool; None without a pool."""
        if self.pool is None:
            return None
        place = storage.join(self.output, "examples", "{key}")
        return cut_examples(open_examples(self.pool), place, mining.negatives, mining.margin)


def run_trial(asked: dict[str, Any], shared: Shared) -> None:
    """Train trial `asked["number"]` at `asked["point"]`: the function that Ray Tune calls.

    It continues where it died. What cannot be trained, or diverges, is reported as failed and is
    not tried again; after any other death it is.
    """
    silence_telemetry()
    from ray import tune

    failure = {OBJECTIVE: math.nan, EXAMPLES: 0}
    try:
        checkpoint = train_trial(int(asked["number"]), asked["point"], shared)
        course = list(measurements(checkpoint, asked["point"], shared.config))
        for measured in course:
            tune.report(measured)  # once more: a driver that died may not have heard of it
        best = max(course, key=lambda measured: measured[OBJECTIVE])
        tune.report(best | {EXAMPLES: shared.config.examples, DONE: checkpoint.uri})
    except WorkersLost:
        raise
    except MedEmbedError as error:
        tune.report(failure | {FAILED: str(error)})
    except ValidationError as error:
        # not pydantic's whole message: it would hold values
        tune.report(failure | {FAILED: _mismatch(explain_value(error.errors()[0]))})
    except ValueError as error:
        tune.report(failure | {FAILED: _mismatch(type(error).__name__)})


def _mismatch(reason: str) -> str:
    return tr("settings that do not go together: {reason}", reason=reason)


def train_trial(number: int, point: Point, shared: Shared) -> Checkpoint:
    """Return the trial's checkpoint, which lies where `model_place` says."""
    from medembed.tuning.rung_callback import RungCallback

    config = shared.config
    training, mining = shared.config.settings(point)
    examples = shared.cut_pool(mining)
    rungs = Rungs(config.rung_examples, config.weights)
    gpus = worker_resources(config).get("GPU", 1.0)
    return train(
        open_dataset(shared.dataset),
        examples,
        shared.model,
        model_place(shared.output, number),
        training,
        Trial(rungs, [RungCallback(rows_of(training))], gpus),
        draw_retention_samples(shared.sets, config.retention),
    )


def measurements(
    checkpoint: Checkpoint, point: Point, config: TuneConfig
) -> Iterator[dict[str, Any]]:
    """Yield what a trial reported at each rung and at its end, from its checkpoint's history."""
    training = config.settings(point).training
    for entry in json.loads(checkpoint.read(HISTORY)[HISTORY]):
        metrics = {}
        for name, value in entry.items():
            if name.startswith(DEV):
                metrics[name.removeprefix(DEV)] = value
        if metrics:
            examples = int(entry["step"]) * rows_of(training)
            yield {OBJECTIVE: entry[SCORE], EXAMPLES: examples, **metrics}


def rows_of(training: TrainingConfig) -> int:
    """Return the examples of a step."""
    return training.batch_size * training.accumulation_steps * training.most_workers
