"""Plan time and memory of encoding and training from what a sample cost. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.mining.config import MiningConfig
from medembed.preflight.encode_probe import EncodeCost
from medembed.preflight.sample import CorpusSample
from medembed.preflight.train_probe import TrainCost
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import TRAITS, LossName
from medembed.training.run.build import count_steps

Floats = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """What a maximum length cuts off: the shares of rows that are longer and of tokens past it."""

    max_length: int
    rows: float
    tokens: float


@dataclass(frozen=True)
class EncodePlan:
    """Encoding the corpus before and after training; rates are those of all workers together."""

    workers: int
    cpus: float  # of each
    gpus: float
    rows_per_s: float
    tokens_per_s: float
    seconds: float
    memory_bytes: int  # of one worker
    capacity_bytes: int  # of its GPU; 0 without


@dataclass(frozen=True)
class TrainPlan:
    """Training on all examples; no times without an example, or where a batch did not fit."""

    workers: int
    cpus: float  # of each
    gpus: float
    batch_size: int
    mined: int
    negatives: int  # per query: all other documents of a step
    examples: int
    steps: int
    seconds_per_step: float | None
    seconds: float | None
    memory_bytes: int  # of one worker
    capacity_bytes: int
    loss: LossName = "multiple_negatives"

    @property
    def is_timed(self) -> bool:
        """Return whether steps of this loss are timed: only ranking losses have examples here."""
        return TRAITS[self.loss].ranks


def row_weights(corpus: CorpusSample) -> Floats:
    """Return how many rows of the corpus each row of the sample stands for; forced ones for 1."""
    rest = corpus.rows - len(corpus.forced)
    return np.concatenate(
        [np.ones(len(corpus.forced)), np.full(len(corpus.drawn), rest / max(len(corpus.drawn), 1))]
    )


def measure_cut(lengths: Lengths, weights: Floats, max_length: int) -> Cut:
    """Measure what `max_length` cuts off; `lengths` [n] are a sample with weights [n]."""
    lost = np.maximum(lengths - max_length, 0)
    return Cut(
        max_length,
        float(weights[lost > 0].sum() / weights.sum()),
        float((weights * lost).sum() / (weights * lengths).sum()),
    )


def typical_length(lengths: Lengths, weights: Floats) -> int:
    """Return the tokens that 95% of the rows do not exceed; lengths [n] have weights [n]."""
    order = np.argsort(lengths, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return int(lengths[order][np.searchsorted(reached, 0.95)])


def plan_encoding(
    cost: EncodeCost,
    lengths: Lengths,
    weights: Floats,
    max_length: int,
    workers: int,
    encoding: EncodingConfig,
) -> EncodePlan:
    """Plan for so many workers; time grows with the tokens that are read."""
    tokens = float((weights * np.minimum(lengths, max_length)).sum())
    rate = cost.tokens / cost.seconds * workers
    return EncodePlan(
        workers=workers,
        cpus=encoding.cpus_per_worker,
        gpus=encoding.gpus_per_worker,
        rows_per_s=cost.rows / cost.seconds * workers,
        tokens_per_s=rate,
        seconds=2 * tokens / rate,
        memory_bytes=cost.memory_bytes,
        capacity_bytes=cost.capacity_bytes,
    )


def plan_training(
    cost: TrainCost | None, examples: int, mining: MiningConfig, training: TrainingConfig
) -> TrainPlan:
    """Plan all steps at the measured time of one; `cost` is None without an example."""
    steps = count_steps(examples, training)
    per_step = cost.seconds_per_step if cost else None
    return TrainPlan(
        workers=training.most_workers,
        cpus=training.cpus_per_worker,
        gpus=float(training.use_gpu),
        batch_size=training.batch_size,
        mined=mining.negatives,
        negatives=training.most_workers * training.batch_size * (1 + mining.negatives) - 1,
        examples=examples,
        steps=steps,
        seconds_per_step=per_step,
        seconds=None if per_step is None else per_step * steps,
        memory_bytes=cost.memory_bytes if cost else 0,
        capacity_bytes=cost.capacity_bytes if cost else 0,
        loss=training.loss.name,
    )
