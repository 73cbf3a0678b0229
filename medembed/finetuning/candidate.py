"""Choose the old queries that are trained again; train a candidate from the champion, or anew."""

from collections.abc import Iterable

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.finetuning.champion import Champion
from medembed.finetuning.retrain_config import IncrementConfig, RetrainConfig
from medembed.mining.examples import Examples
from medembed.schema import content_hash
from medembed.training.config import TrainingConfig
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.train import train


def choose_replay(old: Iterable[str], new: int, increment: IncrementConfig) -> list[str]:
    """Return the old queries to train again beside so many new ones, so that nothing is forgotten.

    Any of them by chance: those whose hash comes first, the same for a seed.
    """
    order = sorted(sorted(old), key=lambda name: content_hash(f"{increment.seed}\n{name}"))
    return order[: round(increment.replay * new)]


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
    training = config.training
    increment = config.increment
    changes: dict[str, float] = {
        "learning_rate": training.learning_rate * increment.learning_rate_share,
        "epochs": training.epochs * increment.epochs_share,
    }
    if increment.average is not None:
        changes["average"] = increment.average
    return training.model_copy(update=changes)
