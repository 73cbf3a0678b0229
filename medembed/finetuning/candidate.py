"""Choose the old queries that are trained again; train a candidate from the champion, or anew."""

from collections.abc import Collection

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.finetuning.champion import Champion
from medembed.finetuning.replay import choose_at_risk, choose_hardest, choose_uniform
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from medembed.training.config import TrainingConfig
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.train import train


def choose_replay(
    dataset: Dataset,
    new: Collection[str],
    champion: Champion,
    table: Table,
    config: RetrainConfig,
    examples: str,
) -> tuple[list[str], str | None]:
    """Return the old training queries to train again, and the examples of all queries.

    These are None unless they had to be mined for the choice; they lie at `examples`.
    """
    texts = {row["query_id"]: row["text"] for row in dataset.queries("train").to_pylist()}
    old = sorted(set(texts) - set(new))
    count = min(round(config.increment.replay * len(new)), len(old))
    if count == 0:
        return [], None
    if config.increment.strategy == "uniform":
        return choose_uniform(old, count, config.increment.seed), None
    if config.increment.strategy == "at_risk":
        asked = [*old, *sorted(new)]
        vectors = encode_texts(
            {"query": [texts[name] for name in asked]}, champion.model, config.encoding
        )["query"]
        return choose_at_risk(old, vectors[: len(old)], vectors[len(old) :], count), None
    mined = mine(dataset, table, champion.model, examples, config.mining, config.encoding)
    known = set(old)
    margins: dict[str, float] = {}
    for row in mined.read():
        if row["query_id"] in known and row["negative_scores"]:
            margin = row["positive_score"] - max(row["negative_scores"])
            margins[row["query_id"]] = min(margin, margins.get(row["query_id"], margin))
    return choose_hardest(margins, count), mined.uri


def train_candidate(
    dataset: Dataset,
    examples: Examples,
    champion: Champion,
    config: RetrainConfig,
    models: str,
    elsewhere: RetentionSamples,
    *,
    full: bool,
) -> Checkpoint:
    """Return the best checkpoint of a training from the champion, or of one from the start."""
    if full:
        start = storage.absolute(config.model)
        training = config.training
    else:
        start = champion.model
        training = of_increment(config)
    return train(dataset, examples, start, models, training, elsewhere=elsewhere)


def of_increment(config: RetrainConfig) -> TrainingConfig:
    """Return how the champion is trained on: more gently than a model from elsewhere."""
    training, increment = config.training, config.increment
    changes: dict[str, float] = {
        "learning_rate": training.learning_rate * increment.learning_rate_share,
        "epochs": training.epochs * increment.epochs_share,
    }
    if increment.average is not None:
        changes["average"] = increment.average
    return training.model_copy(update=changes)
