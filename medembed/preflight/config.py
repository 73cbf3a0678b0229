"""How much of the data set preflight looks at."""

from typing import Literal

from pydantic import Field

from medembed.config import Config


class PreflightConfig(Config):
    """Sizes of the samples. Larger ones take longer and say more exactly."""

    split: Literal["dev", "test"] = Field(
        default="dev", description="queries that measure the base model"
    )
    sample_queries: int = Field(
        default=300,
        ge=1,
        description="queries at most, chosen by a hash of their ids; a language, pair of "
        "languages or tag that has few among them gets up to 30 groups of its own",
    )
    sample_documents: int = Field(
        default=2000,
        ge=20,
        description="documents at most that they are ranked against, their positives included",
    )
    train_steps: int = Field(
        default=3, ge=1, description="training steps that are timed, after one that warms up"
    )
