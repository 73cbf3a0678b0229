"""How hard negatives are chosen."""

from pydantic import Field

from medembed.config import Config


class MiningConfig(Config):
    """Rank window, margin and number of negatives."""

    negatives: int = Field(default=1, ge=0, le=64, description="hard negatives per query")
    window: int = Field(
        default=30, ge=1, le=1000, description="ranks looked at, from the top, known positives left out"
    )
    margin: float = Field(
        default=0.05, ge=0, le=2, description="a negative scores at most positive - margin x |positive| (relative)"
    )
    prefer_tag: str | None = Field(default=None, description="queries with this tag come first when max_pairs cuts")
    max_pairs: int | None = Field(default=None, ge=1, description="pairs at most, a sample by stable hash; null: all")
