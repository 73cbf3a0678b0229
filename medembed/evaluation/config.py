"""What is measured."""

from typing import Annotated

from pydantic import Field

from medembed.config import Config, InputUri

Depth = Annotated[int, Field(ge=1, le=1000)]


class EvaluationConfig(Config):
    """Which queries, at which dimensions, by which metrics, and how sure."""

    dimensions: tuple[int, ...] = Field(
        default=(),
        description="Matryoshka dimensions to measure; empty: those that the model was trained for, or its width",
    )
    split: str | None = Field(default="test", description="train, dev or test; null: all queries")
    tag: str | None = Field(default=None, description="only queries with this tag, e.g. lay")
    k: tuple[Depth, ...] = Field(
        default=(1, 3, 5, 10, 100),
        min_length=1,
        description="depths of NDCG, recall, precision, F1, MRR, MAP and accuracy",
    )
    neighbours: int = Field(default=5, ge=1, le=1000, description="nearest labelled texts that vote for a text's class")
    must_rank: InputUri | None = Field(
        default=None, description="YAML of cases: a query, the document that must stand above, the one below"
    )
    bootstrap_samples: int = Field(default=2000, ge=100, description="resamples behind each 95% interval")
    seed: int = Field(default=0, ge=0, description="seed of the bootstrap")
    show_text: bool = Field(
        default=False, description="show the texts of queries in the report; off, as they may be patients'"
    )
