"""Check the inputs of a training, name them, and count the steps, before any worker starts."""

import logging
from collections.abc import Collection, Iterator
from typing import Any

from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width
from medembed.errors import DataError
from medembed.language import tr
from medembed.matryoshka import check_dimensions
from medembed.mining.examples import Examples
from medembed.training.config import TrainingConfig
from medembed.training.lesson import Lesson
from medembed.training.loss_config import Rows
from medembed.training.model.principal_axes import turns
from medembed.training.model.trainable import check_trainable
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.rows.columns import count_rows
from medembed.training.rows.order import Stream
from medembed.training.run.build import count_steps, read_together
from medembed.training.run.enough import check_filled
from medembed.training.trial import Rungs

logger = logging.getLogger(__name__)


def check_inputs(
    dataset: Dataset, examples: Examples | None, model: str, config: TrainingConfig
) -> Examples | None:
    """Return the examples, None where the loss reads none.

    Raises ModelError for dimensions that the model has not, DataError for examples that the loss
    cannot read or that were mined from another data set.
    """
    check_trainable(model, config)
    folder = fetch_model(model)
    # workers look again
    check_dimensions(config.dimensions, model_width(folder) or max(config.dimensions))
    if not config.loss.traits.reads_examples:
        return None
    if examples is None:
        raise DataError(
            "examples: none given, but loss {loss} reads them; mine some by medembed mine.",
            loss=config.loss.name,
        )
    examples.check_lists()
    mined_from = examples.manifest.origin.dataset
    if mined_from is not None and mined_from.fingerprint != dataset.fingerprint:
        raise DataError(
            "{examples}: mined from data set {mined_from}, but data is {dataset} ({uri}); mine "
            "again, or give the data set that they are from.",
            examples=examples.uri,
            mined_from=mined_from.fingerprint,
            dataset=dataset.fingerprint,
            uri=dataset.uri,
        )
    return examples


def fingerprint_inputs(
    dataset: Dataset,
    examples: Examples | None,
    model: str,
    config: TrainingConfig,
    elsewhere: RetentionSamples | None = None,
    rungs: Rungs | None = None,
    lesson: Lesson | None = None,
) -> dict[str, Any]:
    """Return what a checkpoint depends on, by name.

    Models count by what they are, not by where they lie. What changes no weight is left out: a run
    that lost too many workers goes on with a higher limit.
    """
    settings = config.model_dump(
        exclude={"max_failures": True, "preset": True, "report_to": True, "loss": {"guide"}}
    )
    guide = config.loss.guide
    inputs = {
        "dataset": dataset.fingerprint,
        "examples": examples and examples.fingerprint,
        "model": model_fingerprint(fetch_model(model)),
        "guide": guide and model_fingerprint(fetch_model(guide)),
        "turned": turns(model, config),
        "training": settings,
    }
    inputs |= elsewhere.inputs() if elsewhere else {}
    inputs |= lesson.inputs() if lesson else {}
    return inputs | (rungs.inputs() if rungs else {})


def count_examples_read(
    dataset: Dataset,
    examples: Examples | None,
    config: TrainingConfig,
    left_out: Collection[str] = (),
) -> int:
    """Return how many examples a run reads, without texts `left_out`; log what is about to run.

    Raises DataError if loss and data do not fit, or if there is no whole step.
    """
    # this loss takes all examples as they are, which need not be read for it
    if examples and config.loss.traits.rows is Rows.EXAMPLES:
        count = examples.manifest.example_count
    else:
        rows = examples.read() if examples else []
        count = count_rows(config.loss.name, dataset, rows, left_out)
    check_filled((examples or dataset).uri, count, config)
    steps = count_steps(count, config)
    stream = read_together(count, config, config.most_workers)
    negatives = examples.manifest.negatives if examples else 0
    for line in describe_start(stream, steps, negatives, config):
        logger.info("%s", line)
    return steps * stream.rows


def describe_start(stream: Stream, steps: int, mined: int, config: TrainingConfig) -> Iterator[str]:
    """Yield lines for the log: examples, steps, rows together, negatives per query.

    `stream` is that of the most workers, `mined` the number of mined negatives of an example. A
    query's negatives, if the loss ranks, are the other documents of its batch on all workers.
    Accumulated batches are not among them.
    """
    added = config.accumulation_steps
    together = stream.rows // added
    rows = f"{stream.rows}"
    if added > 1:
        of = tr("{added} batches of {together}", added=added, together=together)
        rows = f"{stream.rows} ({of})"
    workers = f"{config.workers}"
    if not isinstance(config.workers, int):
        workers = tr("{fewest} to {most}", fewest=config.workers[0], most=config.workers[1])
    yield tr(
        "train: {examples:,} examples, {steps:,} steps of {rows} on {workers} workers",
        examples=stream.count,
        steps=steps,
        rows=rows,
        workers=workers,
    )
    ranks = config.loss.traits.ranks
    seen = ""
    if ranks:
        negatives = together * (1 + mined) - 1
        seen = tr(
            "temperature {temperature:g}, up to {negatives} negatives per query, ",
            temperature=config.temperature,
            negatives=negatives,
        )
    yield tr(
        "       loss {loss}, {seen}dimensions {dimensions}",
        loss=config.loss.name,
        seen=seen,
        dimensions=list(config.dimensions),
    )
    if ranks and added > 1:
        yield tr(
            "       accumulation_steps={added} adds no negatives: a query sees {together} "
            "examples, not {rows}; raise batch_size for more",
            added=added,
            together=together,
            rows=stream.rows,
        )
    if stream.left_out:
        yield tr(
            "       a pass leaves out {count} examples, others each time", count=stream.left_out
        )
