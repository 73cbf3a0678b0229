"""Mine once what all trials cut their negatives from, with as many pairs as there are."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from medembed import storage
from medembed.data.dataset import Dataset, format_counts
from medembed.encoding.encode import encode_corpus
from medembed.errors import DataError
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.pairs import select_pairs
from medembed.mining.subset import pool_of
from medembed.training.loss_config import TRAITS
from medembed.training.run.enough import check_corpus
from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Axis
from medembed.tuning.trial import Shared

logger = logging.getLogger(__name__)


def plan_pool(config: TuneConfig, axes: Sequence[Axis]) -> MiningConfig | None:
    """Return what to mine for all trials, None where no loss reads examples."""
    losses = {config.training.loss.name}
    margins = [config.mining.margin]
    for axis in axes:
        if axis.name == "training.loss.name":
            losses.update(axis.values)
        elif axis.name == "mining.margin":
            margins = list(axis.values)
    if not any(TRAITS[loss].reads_examples for loss in losses):
        return None
    mining = config.mining.model_copy(update={"max_pairs": config.pairs})
    return pool_of(mining, margins)


def fit_to_data(config: TuneConfig, dataset: Dataset, pool: MiningConfig) -> TuneConfig:
    """Return the config with as many pairs as the data set has. Raises DataError for too few."""
    check_corpus(dataset, pool)
    return fit_pairs(config, dataset.uri, len(select_pairs(dataset, pool)))


def mine_pool(shared: Shared, dataset: Dataset, pool: MiningConfig) -> Shared:
    """Return what trials share, with the examples where all find their negatives."""
    config = shared.config
    model = shared.model
    tables = storage.join(shared.output, "tables", "{key}.lance")
    table = encode_corpus(
        dataset.corpus_files(), dataset.fingerprint, model, tables, config.encoding
    )
    place = storage.join(shared.output, "pool", "{key}")
    examples = mine(dataset, table, model, place, pool, config.encoding)
    counts = format_counts(examples.manifest.counts)
    logger.info(tr("pool of negatives: {counts}", counts=counts))
    fitted = fit_pairs(config, examples.uri, examples.manifest.example_count)
    return replace(shared, config=fitted, pool=examples.uri)


def fit_pairs(config: TuneConfig, place: str, count: int) -> TuneConfig:
    """Return the config with as many pairs as there are. Raises DataError if they are too few."""
    if count >= config.pairs:
        return config
    logger.warning(
        tr(
            "pairs: {asked} asked, the data set has {count} for training; trials see and are "
            "compared at these",
            asked=config.pairs,
            count=count,
        )
    )
    config = config.model_copy(update={"pairs": count})
    try:
        config.check_budget()
    except ValueError as error:
        raise DataError(
            "{place}: too few pairs for training: {error}", place=place, error=error
        ) from None
    return config
