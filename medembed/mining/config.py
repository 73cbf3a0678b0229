"""Configure which documents become hard negatives, and how examples are written."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, InputUri, ModelUri
from medembed.errors import ConfigError
from medembed.language import tr

Choice = Literal["hardest", "sample", "spread"]


class MiningConfig(Config):
    """Rank window, limits of scores, choice among what is left, second opinion, format."""

    negatives: int = Field(default=1, ge=0, le=64, description="hard negatives per pair")
    window: int = Field(
        default=30,
        ge=1,
        le=1000,
        description="ranks looked at, from the top, known positives left out",
    )
    first_rank: int = Field(
        default=0,
        ge=0,
        lt=1000,
        description="ranks passed over at the top, where unjudged positives are likeliest",
    )
    margin: float | None = Field(
        default=0.05,
        ge=0,
        le=2,
        description="a negative scores at most positive - margin x |positive| (relative); null: "
        "it may score above",
    )
    margin_from: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="score from which the positive counts for margin: margin x |positive - "
        "margin_from|; null: the mean score of random pairs where that is above 0.5, as with E5, "
        "else 0",
    )
    margin_absolute: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="... and at most positive - margin_absolute; margin=0 leaves this one to "
        "decide",
    )
    max_score: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="... and at most this: what is nearer may be an answer, whatever the "
        "positive scores",
    )
    min_score: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="... and at least this: what is farther teaches little",
    )
    judged: bool = Field(
        default=True,
        description="documents judged not relevant (qrels score 0 or below) come first, whatever "
        "their rank and score",
    )
    choice: Choice = Field(
        default="hardest",
        description="among what is left: hardest, the nearest; sample, any by chance; spread, "
        "evenly over the ranks",
    )
    seed: int = Field(
        default=0, ge=0, description="of choice=sample; the same seed gives the same negatives"
    )
    positives: Literal["all", "best"] = Field(
        default="all",
        description="all: a pair for each positive of a query; best: only for its highest judged "
        "one",
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="dimensions that rank and score; null: all"
    )
    second_opinion: ModelUri | None = Field(
        default=None,
        description="a larger encoder or cross-encoder (like model) that scores positives and "
        "candidates again",
    )
    judge: Literal["first", "second"] = Field(
        default="second",
        description="whose scores the margins, max_score and min_score look at; first: the "
        "second opinion's are only written, for a distillation of your own",
    )
    format: Literal["lists", "rows"] = Field(
        default="lists",
        description="an example is a pair with its negatives as lists, or a row for each negative",
    )
    previous: InputUri | None = Field(
        default=None,
        description="examples mined from an earlier version of the table: only queries that are "
        "new, or near which the corpus has changed, are searched in all of it; the result is "
        "that of a search of everything",
    )
    prefer_tag: str | None = Field(
        default=None, description="queries with this tag come first when max_pairs cuts"
    )
    max_pairs: int | None = Field(
        default=None, ge=1, description="pairs at most, a sample by stable hash; null: all"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.first_rank >= self.window:
            raise ValueError(
                tr(
                    "first_rank: found {first_rank}, expected less than window {window}",
                    first_rank=self.first_rank,
                    window=self.window,
                )
            )
        if (
            self.min_score is not None
            and self.max_score is not None
            and self.min_score > self.max_score
        ):
            raise ValueError(
                tr(
                    "min_score: found {min_score}, expected at most max_score {max_score}",
                    min_score=self.min_score,
                    max_score=self.max_score,
                )
            )
        return self

    @property
    def second_judges(self) -> bool:
        """Whether limits look at the second opinion's scores."""
        return self.second_opinion is not None and self.judge == "second"


def check_window(config: MiningConfig, place: str, rows: int) -> None:
    """Raise ConfigError for a window that the rows of the table at `place` cannot fill."""
    if config.window >= rows:
        raise ConfigError(
            "mining.window: found {window}, but {place} has {rows} rows, one of them a "
            "positive; choose at most {most}.",
            window=config.window,
            place=place,
            rows=rows,
            most=max(rows - 1, 0),
        )
