"""Declare how a model is fine-tuned."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.language import tr
from medembed.spread import WorkerCount
from medembed.training.loss_config import LossConfig
from medembed.training.options import TrainingOptions

# Weights of what was trained in its average with the start that keep most of both: of the gain in
# domain, and of what the start could elsewhere. A training that holds long texts has lost less, and
# gives up less.
_OF_HELD, _OF_OTHERS = 0.8, 0.5


class TrainingConfig(TrainingOptions):
    """Matryoshka dimensions and their weights, the optimiser's schedule, checkpoints, resources."""

    dimensions: tuple[int, ...] = Field(
        default=(384, 256, 128, 64, 32), description="Matryoshka dimensions that are trained"
    )
    weights: tuple[float, ...] | None = Field(
        default=None, description="weight of each dimension's loss; null: all alike"
    )
    loss: LossConfig = LossConfig()
    learning_rate: float = Field(
        default=1e-4, gt=0, lt=1, description="peak learning rate, after a linear warm-up"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of steps that warm up")
    epochs: float = Field(default=1.0, gt=0, description="passes over the examples")
    batch_size: int = Field(default=64, ge=2, description="examples of a batch, per worker")
    batches: Literal["mixed", "language"] = Field(
        default="mixed",
        description="language: the examples that a step compares are of one pair of languages, "
        "query and positive, so that no negative is known by its language; mixed: whatever comes",
    )
    temperature: float = Field(default=0.05, gt=0, description="divides the cosines in the loss")
    max_length: int | None = Field(
        default=None,
        ge=8,
        description="tokens kept of a text in training; null: as many as the model reads",
    )
    seed: int = Field(default=0, ge=0, description="seed of shuffling and dropout")
    checkpoint_steps: int = Field(
        default=25, ge=1, description="steps between checkpoints, each measured on the dev sample"
    )
    select_by: str = Field(
        default="ndcg@10", description="dev metric that the best checkpoint has highest"
    )
    select_dimension: int = Field(
        default=64, ge=1, description="dimension at which select_by is measured"
    )
    dev_queries: int = Field(default=300, ge=1, description="queries of the fixed dev sample")
    dev_documents: int = Field(
        default=1000, ge=1, description="documents that they are ranked against, positives included"
    )
    dev_tag: str | None = Field(
        default=None, description="only dev queries with this tag, e.g. lay"
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="stop early after so many evaluations in a row (one each checkpoint_steps) "
        "without a gain in select_by at select_dimension; null: never",
    )
    workers: WorkerCount = Field(
        default=1,
        description="training workers, whose in-batch negatives are shared: a number, or "
        "[fewest,most], e.g. [1,8], which goes on with fewer when a node is lost and with more "
        "when one joins",
    )
    cpus_per_worker: int = Field(default=2, ge=1, description="CPU cores and threads of one worker")
    use_gpu: bool = Field(default=False, description="one GPU per worker")
    max_failures: int = Field(
        default=2, ge=0, description="times that workers may die before training gives up"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_dimensions()
        self._check_loss()
        return self

    def _check_dimensions(self) -> None:
        if (
            not self.dimensions
            or min(self.dimensions) < 1
            or len(set(self.dimensions)) != len(self.dimensions)
        ):
            raise ValueError(
                tr(
                    "dimensions: found {found}, expected different numbers of at least 1",
                    found=list(self.dimensions),
                )
            )
        if self.weights is not None and len(self.weights) != len(self.dimensions):
            raise ValueError(
                tr(
                    "weights: found {found}, expected {expected}, one per dimension",
                    found=len(self.weights),
                    expected=len(self.dimensions),
                )
            )
        if self.weights is not None and min(self.weights) <= 0:
            raise ValueError(
                tr("weights: found {found}, expected numbers above 0", found=list(self.weights))
            )
        if self.select_dimension not in self.dimensions:
            raise ValueError(
                tr(
                    "select_dimension: found {found}, expected one of {dimensions}",
                    found=self.select_dimension,
                    dimensions=list(self.dimensions),
                )
            )

    def _check_loss(self) -> None:
        if self.batches == "language" and not self.loss.traits.ranks:
            raise ValueError(
                tr(
                    "batches: found language, but loss {loss} compares no examples of a batch; "
                    "leave it out",
                    loss=self.loss.name,
                )
            )
        if self.loss.traits.is_taught and self.loss.guide is None:
            raise ValueError(
                tr(
                    "loss.guide: missing; loss {loss} needs a model that teaches",
                    loss=self.loss.name,
                )
            )
        if self.loss.traits.is_paired and (self.batch_size < 4 or self.batch_size % 2):
            raise ValueError(
                tr(
                    "batch_size: found {found}, but loss {loss} needs an even one from 4",
                    found=self.batch_size,
                    loss=self.loss.name,
                )
            )

    @property
    def weight_by_dimension(self) -> dict[int, float]:
        """Return the weight of each dimension's loss, narrowest dimension first."""
        weights = self.weights or (1.0,) * len(self.dimensions)
        return dict(sorted(zip(self.dimensions, weights, strict=True)))

    @property
    def shares(self) -> tuple[float, ...]:
        """Return the weights of what was trained that are measured."""
        if self.average is not None:
            return (self.average,)
        if self.loss.traits.is_taught:  # a teacher's space has nothing of the start in it
            return (1.0,)
        is_held = self.loss.hold and self.loss.traits.ranks
        return (_OF_HELD if is_held else _OF_OTHERS, 1.0)

    @property
    def most_workers(self) -> int:
        """Return the number of workers, or the most that there may be."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]
