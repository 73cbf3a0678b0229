"""Configure retraining: what it reads, how it trains, when the result replaces the champion."""

from typing import Self

from pydantic import Field, model_validator

from medembed.config import Config, InputUri, OutputUri
from medembed.finetuning.config import MINILM, StagesConfig
from medembed.language import tr


class IncrementConfig(Config):
    """How the champion is trained on without forgetting."""

    replay: float = Field(
        default=0.3,
        ge=0,
        le=100,
        description="old training queries that are trained again, for each new one; 0: none",
    )
    seed: int = Field(default=0, ge=0, description="of the choice of old queries")
    learning_rate_share: float = Field(
        default=0.5,
        gt=0,
        le=10,
        description="of training.learning_rate, in an increment; a full retraining takes all",
    )
    epochs_share: float = Field(
        default=0.6, gt=0, le=10, description="of training.epochs, in an increment, likewise"
    )
    average: float | None = Field(
        default=0.5,
        gt=0,
        le=1,
        description="weight of what an increment learned in its average with the champion; null: "
        "as training.average says",
    )
    full_every: int | None = Field(
        default=None,
        ge=1,
        description="of so many retrainings in a row one is a full one, from `model` on all "
        "examples; 1: each; null: none",
    )


class GateConfig(Config):
    """When a candidate may replace the champion."""

    tolerance: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="loss of NDCG@10 that no dimension or language may exceed",
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="that the objective rises, and that a dimension or language loses no more "
        "than the tolerance, each estimated together with all others",
    )
    min_queries: int = Field(
        default=30,
        ge=10,
        description="pairs of languages (fr -> en) with fewer test queries are taken together",
    )
    dimensions: tuple[int, ...] = Field(
        default=(),
        description="dimensions that are served, whose mean NDCG@10 is the objective; empty: all "
        "measured",
    )
    force: bool = Field(
        default=False, description="promote whatever the gate says; needs gate.reason"
    )
    reason: str | None = Field(
        default=None, min_length=3, description="why it was forced, kept with the decision"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.force and self.reason is None:
            raise ValueError(tr("force: needs a reason, which is kept: give gate.reason='...'"))
        return self


class TriggerConfig(Config):
    """What starts a retraining under `watch=true`."""

    every_s: float = Field(
        default=300, gt=0, description="seconds between two looks at the place where files land"
    )
    min_rows: int = Field(
        default=100, ge=1, description="rows in new files that start a retraining"
    )
    max_age_s: float = Field(
        default=7 * 86_400,
        gt=0,
        description="... or so many seconds after the oldest new file landed, whatever its rows",
    )


class RetrainConfig(StagesConfig):
    """New files in, a better champion out, or a reason why not."""

    model: InputUri = Field(
        default=MINILM,
        description="what a first or full training starts from: folder, s3://, gs://, package:// "
        "or hf://...",
    )
    output: OutputUri = Field(
        default="workspace/retrain", description="folder for all that the job makes"
    )
    data: InputUri | None = Field(
        default=None,
        description="data set that the champion knows, where the registry does not say",
    )
    settle_s: float = Field(
        default=30,
        ge=0,
        description="a local file changed within so many seconds may still be written to: left",
    )
    retake: bool = Field(
        default=False,
        description="take files again that were set aside, since a candidate trained on them was "
        "worse",
    )
    promote: bool = Field(
        default=True, description="false: a candidate that passes the gate waits as @candidate"
    )
    increment: IncrementConfig = IncrementConfig()
    gate: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not set(self.gate.dimensions) <= set(self.dimensions):
            raise ValueError(
                tr(
                    "gate.dimensions: found {dimensions}, expected some of {measured}",
                    dimensions=list(self.gate.dimensions),
                    measured=list(self.dimensions),
                )
            )
        if self.mining.previous is not None:
            raise ValueError(tr("mining.previous: found by the lineage; leave it out"))
        if self.splits.previous is not None:
            raise ValueError(
                tr("splits.previous: found by the lineage; leave it out, or give `data`")
            )
        return self
