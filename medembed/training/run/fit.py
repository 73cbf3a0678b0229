"""Run Ray Train around the workers: go on with a run, or say in one line why it ended."""

import logging
import os
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from medembed.errors import MedEmbedError, TrainingError, WorkersLost
from medembed.language import tr
from medembed.training.record.checkpoint import read_history
from medembed.training.record.history import SCORE, SHARE, Entry
from medembed.training.run.callbacks import Diverged
from medembed.training.run.private_ray_train import (
    KeepWholeSnapshot,
    TrainerWithoutCleaner,
    free_placement_group,
    latest_checkpoint,
    mend_snapshot,
)
from medembed.training.run.rendezvous import Rendezvous
from medembed.training.run.run_folder import claim_run, remove_run
from medembed.training.run.worker import Refused, Work, train_worker
from medembed.training.trial import Trial

logger = logging.getLogger(__name__)

# Ray tries a minute at a time to find room for workers: time for a cloud to replace a node.
_STARTS_WITHOUT_ROOM = 5
# How often an elastic training looks for nodes that joined; to take them in it starts anew from its
# last checkpoint.
LOOKS_FOR_NODES_S = 60.0


@dataclass(frozen=True)
class Fitted:
    """The best checkpoint of a training, its metrics, and what the run logged."""

    checkpoint: Any  # of Ray Train
    metrics: dict[str, float]
    history: list[Entry]


def begin(run: str, key: str, inputs: dict[str, Any], trial: Trial | None) -> str:
    """Claim the run's folder, mended where a death left it torn; return the attempt's name."""
    attempt = uuid.uuid4().hex
    if claim_run(run, key, inputs, attempt):
        mend_snapshot(run)
        latest = latest_checkpoint(run)
        start = tr("step {step}", step=latest.step) if latest else tr("its start")
        logger.info(tr("train: goes on with {run}, from {start}", run=run, start=start))
    if trial is not None:
        free_placement_group(run)  # of an attempt whose trial died
    return attempt


def fit(work: Work, trial: Trial | None) -> Fitted:
    """Train, or go on with the run if it was begun before.

    Raises WorkersLost when failures exceed `max_failures`, TrainingError if the loss was no number,
    and what all workers refuse.
    """
    try:
        result = _torch_trainer(work, trial).fit()
    except ray.train.TrainingFailedError as error:
        raise WorkersLost("training stopped: {cause}", cause=_root_cause(error)) from error
    if isinstance(result.return_value, Refused):
        if latest_checkpoint(work.run) is None:
            remove_run(work.run)  # nothing is lost, and it would refuse the config that mends it
        raise result.return_value.error
    if result.return_value is not None:
        raise _explain(result.return_value, work.run)

    measured = [entry for entry in result.best_checkpoints or () if SCORE in entry[1]]
    if not measured:
        raise TrainingError(
            "{run}: training ended without a checkpoint; raise training.epochs.", run=work.run
        )
    best, reported = max(measured, key=lambda entry: (entry[1][SCORE], -entry[1]["step"]))
    metrics = {}
    for name, value in reported.items():
        if name in ("step", SCORE, SHARE) or "/" in name:
            metrics[name] = value
    return Fitted(best, metrics, read_history(result.checkpoint or best))


def _torch_trainer(work: Work, trial: Trial | None) -> TorchTrainer:
    # Ray Train looks every 2 seconds whether workers have news, four times one after another at the
    # start and the end.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")
    parent, _, name = work.run.rpartition("/")
    config = work.config
    resources = {"CPU": float(config.cpus_per_worker)}
    if config.use_gpu:
        resources["GPU"] = trial.gpus_per_worker if trial else 1.0
    trainer = TorchTrainer if work.is_ray_shared and trial is None else TrainerWithoutCleaner
    return trainer(
        partial(train_worker, work),
        torch_config=Rendezvous(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.use_gpu,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=LOOKS_FOR_NODES_S,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=parent,
            callbacks=[KeepWholeSnapshot(work.run), *(trial.callbacks if trial else ())],
            failure_config=ray.train.FailureConfig(
                # What a stopped trial's workers hold is taken away while its controller lives,
                # which must not take it again: Ray Tune tries a trial anew.
                max_failures=0 if trial else config.max_failures,
                controller_failure_limit=_STARTS_WITHOUT_ROOM,
            ),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute=SCORE, checkpoint_score_order="max"
            ),
        ),
    )


def _explain(diverged: Diverged, run: str) -> TrainingError:
    """Say at which loss or gradient, infinite or NaN, training stopped, and what is left of it."""
    reason = tr(
        "{what} is {value} at step {step}, learning rate {learning_rate:.2g}; lower "
        "training.learning_rate",
        what=tr(diverged.what),
        value=diverged.value,
        step=diverged.step,
        learning_rate=diverged.learning_rate,
    )
    latest = latest_checkpoint(run)
    if latest is None:
        remove_run(run)
        return TrainingError("{reason}. There was no checkpoint yet.", reason=reason)
    return TrainingError(
        "{reason} and train again, to a new output or after removing {run}. The checkpoint of step "
        "{step} is kept there: model={uri} uses it.",
        reason=reason,
        run=run,
        step=latest.step,
        uri=latest.uri,
    )


def _root_cause(error: BaseException) -> str:
    """Say in a line why a training failed.

    What a worker says itself goes before that its peers lost it.
    """
    failures = getattr(error, "worker_failures", None) or {0: error}
    causes = [_innermost(failure) for failure in failures.values()]
    cause = min(causes, key=lambda each: (not isinstance(each, MedEmbedError), _is_loss(each)))
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(cause).__name__


def _is_loss(error: BaseException) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("connection", "socket", "rendezvous"))


def _innermost(error: Any) -> BaseException:
    names = ("controller_failure", "_base_exc", "cause", "__cause__")
    while inner := next(filter(None, (getattr(error, name, None) for name in names)), None):
        error = inner
    cause: BaseException = error
    return cause
