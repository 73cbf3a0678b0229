"""Check, before anything is encoded, that a data set has rows to mine and to make a step."""

from collections import Counter
from collections.abc import Collection

from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.errors import DataError
from medembed.language import tr
from medembed.mining.config import MiningConfig, check_window
from medembed.mining.pairs import select_pairs
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import Rows
from medembed.training.model.adapters import check_adapter
from medembed.training.rows.columns import count_rows
from medembed.training.run.build import count_steps
from medembed.training.run.reporting import check_reporting

_STEPS = 4  # of a pass that an advised batch size leaves


def check_settings(training: TrainingConfig, mining: MiningConfig, output: str) -> None:
    """Raise ConfigError for a missing package, ModelError for a missing guide or second opinion."""
    check_adapter(training.adapter, training.use_gpu)
    check_reporting(training.report_to, output)
    for model in (training.loss.guide, mining.second_opinion):
        if model is not None:
            model_fingerprint(fetch_model(model))


def check_enough(dataset: Dataset, mining: MiningConfig, training: TrainingConfig) -> None:
    """Raise DataError if the training pairs cannot fill a batch, or do not fit the loss.

    Raises ConfigError for a window of mining that the corpus cannot fill.
    """
    if training.loss.traits.reads_examples:
        check_corpus(dataset, mining)
        rows = _most_rows(len(select_pairs(dataset, mining)), mining, training)
    else:
        rows = count_rows(training.loss.name, dataset, [])
    check_filled(dataset.uri, rows, training)


def check_enough_new(
    dataset: Dataset,
    new: Collection[str],
    replayed: int,
    mining: MiningConfig,
    training: TrainingConfig,
) -> None:
    """Check the same for the new queries and `replayed` others, those with most pairs."""
    if not training.loss.traits.reads_examples:
        return
    check_corpus(dataset, mining)
    pairs = select_pairs(dataset, mining.model_copy(update={"max_pairs": None}))
    counts = Counter(pair.query_id for pair in pairs)
    old = sorted((count for name, count in counts.items() if name not in new), reverse=True)
    most = sum(counts[name] for name in new) + sum(old[:replayed])
    rows = _most_rows(min(most, mining.max_pairs or most), mining, training)
    check_filled(dataset.uri, rows, training)


def check_corpus(dataset: Dataset, mining: MiningConfig) -> None:
    """Raise ConfigError for a window of mining that the corpus cannot fill."""
    check_window(mining, dataset.uri, sum(rows for _, rows in dataset.corpus_files()))


def check_filled(place: str, rows: int, training: TrainingConfig) -> None:
    """Raise DataError if so many rows make no step, with a batch size that makes some."""
    if count_steps(rows, training):
        return
    together = training.most_workers * training.accumulation_steps
    fitting = rows // together // _STEPS
    advice = tr("add pairs")
    if fitting > 1:
        batch_size = 1 << (fitting.bit_length() - 1)
        advice = tr("training.batch_size={batch_size} makes some steps", batch_size=batch_size)
    raise DataError(
        "{place}: {rows} examples do not fill one batch of {together}; {advice}.",
        place=place,
        rows=rows,
        together=training.batch_size * together,
        advice=advice,
    )


def _most_rows(pairs: int, mining: MiningConfig, training: TrainingConfig) -> int:
    """Return how many rows the loss reads at most."""
    return pairs * mining.negatives if training.loss.traits.rows is Rows.TRIPLETS else pairs
