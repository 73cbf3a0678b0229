"""Declare what a search of settings may try, its budget, and how a setting is judged."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from medembed.config import Config, InputUri, ModelUri, OutputUri
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import RetentionConfig
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.registry.config import RegistryConfig
from medembed.training.config import TrainingConfig
from medembed.tuning.axes import read_axes
from medembed.tuning.space import Axis, Point, Settings, settings


class TuneConfig(Config):
    """A base configuration, the keys that are searched, the budget, the objective."""

    model: ModelUri = Field(
        description="base model: folder, s3://, gs://, package://, hf://organisation/name or "
        "models:/name@alias"
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    output: OutputUri = Field(
        description="folder for all that the search makes; the same command goes on there"
    )
    training: TrainingConfig = Field(
        default=TrainingConfig(), description="trial 0; what is not searched stays so"
    )
    mining: MiningConfig = MiningConfig()
    encoding: EncodingConfig = EncodingConfig()
    retention: RetentionConfig = RetentionConfig()
    registry: RegistryConfig = RegistryConfig()
    search: dict[str, dict[str, Any]] = Field(
        default={},
        description="what is searched, such as {training.learning_rate: {log_uniform: [1e-6, "
        "1e-4]}}: a key of training, mining.negatives or mining.margin, and one of uniform, "
        "log_uniform, integer, log_integer: [lowest, highest], choice: [values]; for "
        "training.weights also simplex: [lowest share of a dimension]",
    )
    trials: int = Field(default=20, ge=1, description="configurations to try, trial 0 included")
    hours: float | None = Field(
        default=None, gt=0, description="of a run, after which no trial goes on; null: no limit"
    )
    pairs: int = Field(
        default=2400, ge=2, description="training pairs of each trial, a sample by stable hash"
    )
    halving: int | None = Field(
        default=2,
        ge=2,
        description="asynchronous successive halving (ASHA): at each rung a trial goes on if it "
        "is among the best 1/halving that came so far; null: every trial is trained to its end",
    )
    rungs: int = Field(
        default=3,
        ge=1,
        le=10,
        description="rungs, each at 1/halving of the examples of the next; [300, 600, 1200] of "
        "2,400 pairs; trials are measured there, and at their end",
    )
    objective: dict[int, float] = Field(
        default={},
        description="{dimension that you will serve: weight}: the weighted mean of "
        "training.select_by over these on the dev sample is what a trial is worth; empty: all of "
        "training.dimensions alike",
    )
    warm_start: InputUri | None = Field(
        default=None,
        description="output of an earlier search: its best three configurations come right after "
        "trial 0",
    )
    concurrent: int | None = Field(
        default=None, ge=1, description="trials at a time; null: as many as fit"
    )
    trials_per_gpu: int = Field(
        default=1, ge=1, description="trials that share a GPU, where each has one worker"
    )
    seed: int = Field(
        default=0, ge=0, description="of the search; that of the trainings is training.seed"
    )

    @field_validator("search", mode="before")
    @classmethod
    def _flatten(cls, values: Any) -> Any:
        """Read nested keys, {"training": {"seed": {"choice": ...}}}, as dotted ones."""
        return dict(_dotted(values)) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.encoding.check_trains()
        for dimension, weight in self.objective.items():
            if dimension not in self.training.dimensions:
                raise ValueError(
                    tr(
                        "objective: found dimension {dimension}, expected some of {dimensions}",
                        dimension=dimension,
                        dimensions=list(self.training.dimensions),
                    )
                )
            if weight <= 0:
                raise ValueError(
                    tr("objective: found weight {found:g}, expected weights above 0", found=weight)
                )
        if self.training.patience is not None:
            raise ValueError(tr("training.patience: leave it out; halving ends trials early"))
        if not isinstance(self.training.workers, int):
            raise ValueError(
                tr(
                    "training.workers: found a range, but trials are compared at equal steps; give "
                    "one number"
                )
            )
        self.check_budget()
        return self

    @property
    def weights(self) -> dict[int, float]:
        """Return {dimension: weight} of the objective."""
        return self.objective or dict.fromkeys(self.training.dimensions, 1.0)

    @property
    def examples(self) -> int:
        """Return how many examples a whole trial sees."""
        return round(self.pairs * self.training.epochs)

    @property
    def rung_examples(self) -> tuple[int, ...]:
        """Return after how many examples trials are compared: of 2,400 e.g. 300, 600, 1200."""
        factor = self.halving or 2
        rungs = {self.examples // factor**number for number in range(1, self.rungs + 1)}
        return tuple(sorted(rungs - {0}))

    def describe_objective(self) -> str:
        """Return "ndcg@10 on the dev sample, mean over 384, 64"."""
        weights = self.weights
        if len(set(weights.values())) == 1:
            dimensions = ", ".join(map(str, weights))
        else:
            dimensions = ", ".join(f"{width} x {weight:g}" for width, weight in weights.items())
        return tr(
            "{metric} on the dev sample, mean over {dimensions}",
            metric=self.training.select_by,
            dimensions=dimensions,
        )

    @property
    def plan(self) -> str:
        """Return "rungs at 300, 600, 1200 of 2400 examples; objective: ..."."""
        return tr(
            "rungs at {rungs} of {examples} examples; objective: {objective}",
            rungs=", ".join(map(str, self.rung_examples)),
            examples=self.examples,
            objective=self.describe_objective(),
        )

    def axes(self) -> tuple[Axis, ...]:
        """Return what is searched, in the order of `search`."""
        return read_axes(self.search, self.training, self.mining)

    def settings(self, point: Point) -> Settings:
        """Return the configs of a trial."""
        return settings(point, self.training, self.mining)

    def check_budget(self) -> None:
        """Raise ValueError if the largest batches allow no step, or none by the first rung."""
        batch_size = self.training.batch_size
        steps = self.training.accumulation_steps
        for axis in self.axes():
            if axis.name == "training.batch_size":
                batch_size = max(axis.values)
            elif axis.name == "training.accumulation_steps":
                steps = max(axis.values)
        rows = batch_size * steps * self.training.most_workers
        if rows > self.pairs:
            raise ValueError(
                tr(
                    "pairs: found {pairs}, but a step of batch size {batch_size} reads {rows}; "
                    "raise pairs, or lower training.batch_size",
                    pairs=self.pairs,
                    batch_size=batch_size,
                    rows=rows,
                )
            )
        first = self.rung_examples[0] if self.rung_examples else 0
        if self.halving and first < rows:
            raise ValueError(
                tr(
                    "pairs: found {pairs}, whose first rung is at {first} examples, but a step of "
                    "batch size {batch_size} reads {rows}; raise pairs, or lower rungs, halving or "
                    "training.batch_size",
                    pairs=self.pairs,
                    first=first,
                    batch_size=batch_size,
                    rows=rows,
                )
            )


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, {kind: values}) of each searched key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and any(
            isinstance(inner, Mapping) for inner in value.values()
        ):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, _typed(value)


def _typed(value: Any) -> Any:
    """Return numbers and booleans where a config file or a command line gives texts."""
    if isinstance(value, Mapping):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_typed, value))
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return {"true": True, "false": False}.get(value, value)
