"""Examples -> the best checkpoint: Ray Train around the loop, then a stock folder that holds no
pickle.
"""

import logging
import os
import tempfile
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.artifact import find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width, save_card
from medembed.errors import DataError, MedEmbedError, TrainingError, WorkersLost
from medembed.lineage import CheckpointManifest, Origin, Source
from medembed.matryoshka import check_dimensions
from medembed.mining.examples import Examples
from medembed.progress import watch
from medembed.schema import fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import ON_EXAMPLES, RANKING
from medembed.training.model.adapters import check_adapter
from medembed.training.model.principal_axes import find_start, read_start, turns
from medembed.training.model.trainable import check_trainable
from medembed.training.record.card import describe_checkpoint
from medembed.training.record.checkpoint import Checkpoint, download_model, publish, read_history
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.history import SCORE, SHARE, Entry
from medembed.training.record.samples import Elsewhere, Samples
from medembed.training.rows.columns import check_fits
from medembed.training.rows.order import Stream
from medembed.training.run.build import count_steps, read_together
from medembed.training.run.enough import check_filled
from medembed.training.run.placement_groups import free_held
from medembed.training.run.reporting import check_reporting
from medembed.training.run.run_folder import (
    claim_run,
    latest_checkpoint,
    mend_snapshot,
    remove_run,
    run_folder,
)
from medembed.training.run.start_line import describe_start
from medembed.training.run.worker import Refused, Work, train_worker
from medembed.training.trial import Trial

logger = logging.getLogger(__name__)

# Ray tries a minute at a time to find room for workers: time for a cloud to replace a node.
_STARTS_WITHOUT_ROOM = 5
# How often an elastic training looks for nodes that joined; to take them in it starts anew from its
# last checkpoint.
LOOKS_FOR_NODES_S = 60.0


def train(
    dataset: Dataset,
    examples: Examples | None,
    model: str,
    output: str,
    config: TrainingConfig,
    trial: Trial | None = None,
    elsewhere: Elsewhere | None = None,
) -> Checkpoint:
    """The checkpoint with the best dev score at `output`; found again if nothing changed.

    `examples` may be None for a loss that reads the judged pairs or texts of the data set. A
    `trial` of a search is measured when it wants, not each `checkpoint_steps`. `elsewhere` are
    samples on which a checkpoint must not lose. A lost worker restarts from the last reported
    checkpoint, and so does the same call after the driver was lost: unfinished state lies beside
    `output` until the end. Raises WorkersLost when failures exceed `max_failures`, in a trial at
    the first, TrainingError if the loss was no number, DataError if no step would be made, or if
    the loss and the data do not fit.
    """
    examples = _check_inputs(dataset, examples, model, config)
    elsewhere = elsewhere or Elsewhere()
    inputs = fingerprint_inputs(dataset, examples, model, config) | elsewhere.inputs()
    inputs |= trial.rungs.inputs() if trial else {}
    key = fingerprint(list(inputs.values()))
    output = place(output, key)
    run, manifest = (
        storage.absolute(run_folder(output)),
        find_output(output, CheckpointManifest, key),
    )
    if manifest is not None:
        logger.info("checkpoint %s: unchanged, reused", manifest.fingerprint)
        remove_run(run)  # of a driver that died between the two
        return Checkpoint(output, manifest)
    logs = f"{output.rstrip('/')}.logs"
    check_adapter(config.adapter, config.use_gpu)
    check_reporting(config.report_to, logs)
    steps, stream = _count_steps(dataset, examples, config)
    # fails here, in a second, rather than in a worker
    samples = Samples(draw_dev_sample(dataset, config), elsewhere)
    attempt = _begin(run, key, inputs, trial)
    rows = examples.uri if examples else None
    with watch(steps * stream.rows, "train", "examples") as progress:
        work = Work(
            model,
            dataset.uri,
            rows,
            samples,
            config,
            run,
            attempt,
            logs,
            progress,
            _is_ray_shared(),
            inputs["turned"],
            trial.rungs if trial else None,
        )
        best, metrics, history = _fit(work, trial)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        download_model(best, folder)
        _average(folder, metrics[SHARE], work)
        manifest = _describe(folder, work, inputs, dataset, examples, (metrics, history))
        checkpoint = publish(folder, output, key, manifest, config)
    remove_run(run)
    return checkpoint


def _average(trained: Path, share: float, work: Work) -> None:
    """Makes the model in this folder its average with the one that the training started from, as it
    was measured.
    """
    if share < 1:
        from medembed.training.model.average import average_folder

        start = find_start(work.run) or work.model
        average_folder(
            fetch_model(start),
            trained,
            share,
            EncodingConfig(cpus_per_worker=work.config.cpus_per_worker),
        )


def _begin(run: str, key: str, inputs: dict[str, Any], trial: Trial | None) -> str:
    """Claims the run's folder, mended where a death left it torn; the name of this attempt."""
    attempt = uuid.uuid4().hex
    if claim_run(run, key, inputs, attempt):
        mend_snapshot(run)
        latest = latest_checkpoint(run)
        logger.info(
            "train: goes on with %s%s",
            run,
            f", from step {latest[1]}" if latest else ", from its start",
        )
    if trial is not None:
        free_held(run)  # of an attempt whose trial died
    return attempt


def _describe(
    folder: Path,
    work: Work,
    inputs: dict[str, Any],
    dataset: Dataset,
    examples: Examples | None,
    measured: tuple[dict[str, float], list[Entry]],
) -> CheckpointManifest:
    """Writes the model's cards and curves beside it, from (dev metrics, history); returns what its
    manifest says.
    """
    config, (metrics, history) = work.config, measured
    # without places: cards travel with models
    mined = Source(examples.fingerprint) if examples else None
    manifest = CheckpointManifest(
        origin=Origin(
            Source(dataset.fingerprint), mined, parent=Source(inputs["model"], work.model)
        ),
        fingerprint=model_fingerprint(folder),
        dimensions=tuple(sorted(config.dimensions, reverse=True)),
        dev=metrics,
        start=read_start(work.run),
    )
    save_card(folder, manifest)
    describe_checkpoint(
        folder, manifest, config, dataset.manifest, examples.manifest if examples else None, history
    )
    return manifest


def _check_inputs(
    dataset: Dataset, examples: Examples | None, model: str, config: TrainingConfig
) -> Examples | None:
    """The examples, None where the loss reads none. Raises ModelError for dimensions that the model
    has not, DataError for examples that the loss cannot read or that were mined from another data
    set."""
    check_trainable(model, config)
    folder = fetch_model(model)
    # workers look again
    check_dimensions(config.dimensions, model_width(folder) or max(config.dimensions))
    if config.loss.name not in ON_EXAMPLES:
        return None
    if examples is None:
        raise DataError(
            f"examples: none given, but loss {config.loss.name} reads them; mine some by "
            "medembed mine."
        )
    examples.check_lists()
    mined_from = examples.manifest.origin.dataset
    if mined_from is not None and mined_from.fingerprint != dataset.fingerprint:
        raise DataError(
            f"{examples.uri}: mined from data set {mined_from.fingerprint}, but data is "
            f"{dataset.fingerprint} ({dataset.uri}); mine again, or give the data set that they "
            "are from."
        )
    return examples


def fingerprint_inputs(
    dataset: Dataset, examples: Examples | None, model: str, config: TrainingConfig
) -> dict[str, Any]:
    """What a checkpoint depends on, by name. Models count by what they are, not by where they lie.

    What changes no weight is left out: a run that lost too many workers goes on with a higher
    limit.
    """
    settings = config.model_dump(
        exclude={"max_failures": True, "preset": True, "report_to": True, "loss": {"guide"}}
    )
    guide = config.loss.guide
    return {
        "dataset": dataset.fingerprint,
        "examples": examples and examples.fingerprint,
        "model": model_fingerprint(fetch_model(model)),
        "guide": guide and model_fingerprint(fetch_model(guide)),
        "turned": turns(model, config),
        "training": settings,
    }


def _count_steps(
    dataset: Dataset, examples: Examples | None, config: TrainingConfig
) -> tuple[int, Stream]:
    """(steps, how they read the rows); logs what is about to run.

    Raises DataError if loss and data do not fit, or if there is no whole step.
    """
    # they take all examples as they are, which need not be read for it
    if examples and config.loss.name in RANKING:
        count = examples.manifest.example_count
    else:
        count = check_fits(config, dataset, examples.read() if examples else [])
    steps, stream = count_steps(count, config), read_together(count, config, config.most_workers)
    check_filled((examples or dataset).uri, count, config)
    negatives = examples.manifest.negatives if examples else 0
    for line in describe_start(stream, steps, negatives, config):
        logger.info("%s", line)
    return steps, stream


def _is_ray_shared() -> bool:
    """Whether Ray outlives the job, and looks out for nodes about to be taken away: a private Ray
    has that off.
    """
    return os.environ.get("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "1") not in ("0", "false", "False")


def _fit(work: Work, trial: Trial | None) -> tuple[Any, dict[str, float], list[Entry]]:
    """(best Ray Train checkpoint, its metrics, what the run logged); continues the run if it was
    begun before.
    """
    import ray.train

    try:
        result = _torch_trainer(work, trial).fit()
    except ray.train.TrainingFailedError as error:
        raise WorkersLost(f"training stopped: {_root_cause(error)}") from error
    if isinstance(result.return_value, Refused):
        if latest_checkpoint(work.run) is None:
            remove_run(work.run)  # nothing is lost, and it would refuse the config that mends it
        raise result.return_value.error
    if result.return_value is not None:
        raise TrainingError(_explain(result.return_value, work.run))
    measured = [entry for entry in result.best_checkpoints or () if "score" in entry[1]]
    if not measured:
        raise TrainingError(
            f"{work.run}: training ended without a checkpoint; raise training.epochs."
        )
    best, metrics = max(measured, key=lambda entry: (entry[1]["score"], -entry[1]["step"]))
    metrics = {
        name: value
        for name, value in metrics.items()
        if name in ("step", SCORE, SHARE) or "/" in name
    }
    return best, metrics, read_history(result.checkpoint or best)


def _torch_trainer(work: Work, trial: Trial | None) -> Any:
    import ray.train

    from medembed.training.run.ray_trainer import ClusterTrainer, KeepWholeSnapshot, Trainer
    from medembed.training.run.rendezvous import Rendezvous

    # Ray Train looks every 2 seconds whether workers have news, four times one after another at the
    # start and the end.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")
    parent, _, name = work.run.rpartition("/")
    config = work.config
    resources = {"CPU": float(config.cpus_per_worker)}
    if config.use_gpu:
        resources["GPU"] = trial.gpus_per_worker if trial else 1.0
    return (ClusterTrainer if work.is_ray_shared and trial is None else Trainer)(
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
                num_to_keep=2, checkpoint_score_attribute="score", checkpoint_score_order="max"
            ),
        ),
    )


def _explain(diverged: Any, run: str) -> str:
    """Why training stopped at a number that is none, and what is left of it."""
    reason = (
        f"{diverged.what} is {diverged.value} at step {diverged.step}, learning rate "
        f"{diverged.learning_rate:.2g}; lower training.learning_rate"
    )
    latest = latest_checkpoint(run)
    if latest is None:
        remove_run(run)
        return f"{reason}. There was no checkpoint yet."
    return (
        f"{reason} and train again, to a new output or after removing {run}. The checkpoint of "
        f"step {latest[1]} is kept there: model={latest[0]} uses it."
    )


def _root_cause(error: BaseException) -> str:
    """Why a training failed, in a line: what a worker says itself rather than that its peers lost
    it.
    """
    failures = getattr(error, "worker_failures", None) or {0: error}
    causes = [_innermost(failure) for failure in failures.values()]
    lost = ("connection", "socket", "rendezvous")
    causes.sort(
        key=lambda one: (
            not isinstance(one, MedEmbedError),
            any(word in str(one).lower() for word in lost),
        )
    )
    lines = [line for line in str(causes[0]).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(causes[0]).__name__


def _innermost(error: Any) -> BaseException:
    names = ("controller_failure", "_base_exc", "cause", "__cause__")
    while inner := next(filter(None, (getattr(error, name, None) for name in names)), None):
        error = inner
    found: BaseException = error
    return found
