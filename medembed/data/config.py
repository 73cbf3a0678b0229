"""What `prepare` reads and how it splits it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, InputUri


class SourceConfig(Config):
    """Where rows come from."""

    path: InputUri = Field(description="file to read: a path, s3://, gs:// or package://")
    format: Literal["pairs", "ontology"] = Field(
        default="pairs", description="pairs: JSONL rows of query and document; ontology: an OBO file"
    )
    language: str = Field(
        default="en", min_length=2, description="language of the texts, where a row has none (ISO 639-1)"
    )
    licence: str = Field(default="not stated", description="licence of the texts, kept in the manifest")
    skip_bad_rows: bool = Field(default=False, description="count and leave out malformed rows instead of stopping")


class SplitConfig(Config):
    """Shares of the splits; the rest trains. Decided per document by a stable hash, so that no row ever moves."""

    dev: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of documents whose queries choose checkpoints"
    )
    test: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of documents whose queries measure the result"
    )
    salt: str = Field(
        default="medembed", description="changes the whole assignment; leave it alone once a data set is in use"
    )

    @model_validator(mode="after")
    def _leave_rows_to_train(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError(
                f"dev + test is {self.dev + self.test:g}; expected less than 1, so that rows are left to train"
            )
        return self
