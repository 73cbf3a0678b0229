"""Train a model on a data set and publish the best checkpoint as a stock folder without pickles.

A training passes these files, in this order; each names its helpers among its imports:

    run/inputs.py                       checks data, model and config, and fingerprints them
    record/dev_sample.py                draws what checkpoints are measured on
    model/vocabulary.py                 chooses the pieces of a vocabulary that is cut
    run/fit.py                          has Ray Train start the workers, and start them again
    run/worker.py                       what each worker does: the rest, but for the last line
    model/principal_axes.py             turns the model to its principal axes, and cuts it
    rows/columns.py, rows/order.py      make columns of the examples, and a plan of the steps
    run/build.py, losses/by_name.py     make the trainer and its loss
    run/sentence_transformer_trainer.py takes the steps
    run/callbacks.py, record/scoring.py measure and keep checkpoints, and decide when to stop
    record/checkpoint.py                publishes the best one, with its card and curves
"""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed import storage
from medembed.artifact import find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import fetch_model, model_fingerprint, save_card
from medembed.language import to_translate, tr
from medembed.lineage import CheckpointManifest, Origin, Source
from medembed.mining.examples import Examples
from medembed.progress import watch
from medembed.schema import fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.lesson import Lesson
from medembed.training.model.adapters import check_adapter
from medembed.training.model.principal_axes import find_start, read_start
from medembed.training.model.vocabulary import plan_vocabulary
from medembed.training.record.card import describe_checkpoint
from medembed.training.record.checkpoint import Checkpoint, download_model, publish
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.record.history import SHARE
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.run.inputs import check_inputs, count_examples_read, fingerprint_inputs
from medembed.training.run.reporting import check_reporting
from medembed.training.run.run_folder import remove_run, run_folder
from medembed.training.run.worker import Work
from medembed.training.trial import Trial

if TYPE_CHECKING:
    from medembed.training.run.fit import Fitted

logger = logging.getLogger(__name__)


def train(
    dataset: Dataset,
    examples: Examples | None,
    model: str,
    output: str,
    config: TrainingConfig,
    trial: Trial | None = None,
    elsewhere: RetentionSamples | None = None,
    lesson: Lesson | None = None,
) -> Checkpoint:
    """Return the checkpoint with the best dev score at `output`; reuse it if nothing changed.

    `examples` may be None for a loss that reads the data set alone; `lesson` is a distillation's.
    After a death, training goes on from the last checkpoint; its state lies beside `output`.
    Raises WorkersLost, TrainingError if the loss was no number, DataError for data that do not fit.
    """
    from medembed.training.run.fit import begin, fit  # imports Ray

    examples = check_inputs(dataset, examples, model, config)
    rungs = trial.rungs if trial else None
    inputs = fingerprint_inputs(dataset, examples, model, config, elsewhere, rungs, lesson)
    key = fingerprint(list(inputs.values()))
    output = place(output, key)
    run = storage.absolute(run_folder(output))
    if finished := find_output(output, CheckpointManifest, key):
        logger.info(tr("checkpoint {name}: unchanged, reused", name=finished.fingerprint))
        remove_run(run)  # of a driver that died between the two
        return Checkpoint(output, finished)
    logs = f"{output.rstrip('/')}.logs"
    examples_read = _check_start(dataset, examples, config, logs, lesson)
    work = Work(
        model=model,
        dataset=dataset.uri,
        examples=examples.uri if examples else None,
        dev=lesson.dev if lesson else draw_dev_sample(dataset, config),
        elsewhere=elsewhere or RetentionSamples(),
        config=config,
        run=run,
        attempt=begin(run, key, inputs, trial),
        logs=logs,
        is_turned=inputs["turned"],
        vocabulary=plan_vocabulary(dataset, model, config),
        rungs=rungs,
        lesson=lesson,
    )
    with watch(examples_read, to_translate("train"), to_translate("examples")) as progress:
        fitted = fit(replace(work, progress=progress), trial)
    checkpoint = _publish(output, key, work, inputs, dataset, examples, fitted)
    remove_run(run)
    return checkpoint


def _check_start(
    dataset: Dataset,
    examples: Examples | None,
    config: TrainingConfig,
    logs: str,
    lesson: Lesson | None,
) -> int:
    """Check packages and rows before any worker starts; return how many examples are read."""
    check_adapter(config.adapter, config.use_gpu)
    check_reporting(config.report_to, logs)
    return count_examples_read(dataset, examples, config, lesson.left_out if lesson else ())


def _average(trained: Path, share: float, work: Work) -> None:
    """Make the model in a folder its average with the start, as it was measured."""
    if share < 1:
        from medembed.training.model.average import average_folder

        start = fetch_model(find_start(work.run) or work.model)
        encoding = EncodingConfig(cpus_per_worker=work.config.cpus_per_worker)
        average_folder(start, trained, share, encoding)


def _publish(
    output: str,
    key: str,
    work: Work,
    inputs: dict[str, Any],
    dataset: Dataset,
    examples: Examples | None,
    fitted: "Fitted",
) -> Checkpoint:
    """Write the best checkpoint with its cards to the output."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = _finish(Path(folder), work, inputs, dataset, examples, fitted)
        return publish(Path(folder), output, key, manifest, work.config)


def _finish(
    folder: Path,
    work: Work,
    inputs: dict[str, Any],
    dataset: Dataset,
    examples: Examples | None,
    fitted: "Fitted",
) -> CheckpointManifest:
    """Write the model, its cards and curves into a folder; return what the manifest says."""
    config = work.config
    download_model(fitted.checkpoint, folder)
    _average(folder, fitted.metrics[SHARE], work)
    # Sources without URIs, but for those of models: cards travel with models.
    origin = Origin(
        Source(dataset.fingerprint),
        Source(examples.fingerprint) if examples else None,
        parent=work.lesson.parent if work.lesson else Source(inputs["model"], work.model),
        teacher=Source(inputs["guide"], config.loss.guide)
        if config.loss.traits.is_taught
        else None,
    )
    manifest = CheckpointManifest(
        origin=origin,
        fingerprint=model_fingerprint(folder),
        dimensions=tuple(sorted(config.dimensions, reverse=True)),
        dev=fitted.metrics,
        start=read_start(work.run),
        vocabulary=work.vocabulary.facts,
    )
    save_card(folder, manifest)
    describe_checkpoint(
        folder,
        manifest,
        config,
        dataset.manifest,
        examples.manifest if examples else None,
        fitted.history,
    )
    return manifest
