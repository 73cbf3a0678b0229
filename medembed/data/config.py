"""What `prepare` reads, and how it splits it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, InputUri
from medembed.data.formats.table import FormatName
from medembed.data.reading import ReadingConfig
from medembed.language import tr


class SourceConfig(ReadingConfig):
    """Where rows come from and how they become texts."""

    format: FormatName = Field(default="auto", description="auto goes by the file name")


class HoldBackConfig(Config):
    """Queries of a kind that nothing trains on, so that what a model keeps can be measured."""

    tag: str | None = Field(
        default=None,
        min_length=1,
        description="hold back the queries with this tag, e.g. lay; weak: titles, names and "
        "headings; to hold back a source, name its column in source.columns.tags",
    )
    language: str | None = Field(
        default=None, min_length=2, description="hold back the queries in this language"
    )


class SplitConfig(Config):
    """Shares of the splits; the rest trains. Decided per group by a stable hash."""

    dev: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of groups whose queries choose checkpoints"
    )
    test: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of groups whose queries measure the result"
    )
    salt: str = Field(
        default="medembed",
        description="changes the whole assignment; leave it alone once a data set is in use",
    )
    previous: InputUri | None = Field(
        default=None,
        description="data set made from the data before it grew: its rows keep their split",
    )
    own: bool = Field(
        default=True, description="keep to the splits that the source comes with, where it does"
    )
    hold_back: HoldBackConfig = HoldBackConfig()
    on_leak: Literal["error", "hold_out"] = Field(
        default="error",
        description="a text in several of the source's own splits: stop, or leave out the "
        "queries of all but the last of train, dev, test",
    )

    @model_validator(mode="after")
    def _leave_rows_to_train(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError(
                tr(
                    "dev + test is {sum:g}; expected less than 1, so that rows are left to train",
                    sum=self.dev + self.test,
                )
            )
        return self
