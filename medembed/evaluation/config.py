"""What is measured."""

from pydantic import Field

from medembed.config import Config


class EvaluationConfig(Config):
    """Which queries, at which dimensions, and how sure."""

    dimensions: tuple[int, ...] = Field(
        default=(),
        description="Matryoshka dimensions to measure; empty: those that the model was trained for, or its width",
    )
    split: str | None = Field(default="test", description="train, dev or test; null: all queries")
    tag: str | None = Field(default=None, description="only queries with this tag, e.g. lay")
    bootstrap_samples: int = Field(default=2000, ge=100, description="resamples behind each 95% interval")
    seed: int = Field(default=0, ge=0, description="seed of the bootstrap")
