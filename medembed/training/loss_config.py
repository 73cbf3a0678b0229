"""Which loss a model is fine-tuned with."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, ModelUri

LossName = Literal[
    "multiple_negatives",
    "cached_multiple_negatives",
    "guided",
    "triplet",
    "margin_mse",
    "contrastive",
    "online_contrastive",
    "cosine_similarity",
    "cosent",
    "angle",
    "batch_hard",
    "mse",
]
RANKING: tuple[LossName, ...] = ("multiple_negatives", "cached_multiple_negatives", "guided")
ON_EXAMPLES: tuple[LossName, ...] = (*RANKING, "triplet", "margin_mse")
ON_SCORED_PAIRS: tuple[LossName, ...] = (
    "contrastive",
    "online_contrastive",
    "cosine_similarity",
    "cosent",
    "angle",
)
# In cosine distance, from 0 to 2. Triplet as usual on unit vectors; contrastive as
# sentence-transformers has it.
_MARGINS: dict[LossName, float] = {
    "triplet": 0.2,
    "batch_hard": 0.2,
    "contrastive": 0.5,
    "online_contrastive": 0.5,
}
_READ_BY: dict[str, tuple[LossName, ...]] = {
    "symmetric": RANKING,
    "hold": RANKING,
    "mini_batch_size": ("cached_multiple_negatives", "guided"),
    "guide": ("guided", "mse"),
    "guide_margin": ("guided",),
    "margin": tuple(_MARGINS),
}


class LossConfig(Config):
    """A loss by name, and what some of them take; all are summed over the Matryoshka dimensions by
    their weights.
    """

    name: LossName = Field(
        default="multiple_negatives",
        description="on examples: multiple_negatives (each positive against all other documents "
        "of the batch), cached_multiple_negatives (the same in little memory, for large "
        "batches), guided (the same, a guide tells false negatives), triplet (positive before "
        "negative by a margin), margin_mse (margins as a second opinion scored them); on judged "
        "pairs: contrastive, online_contrastive (0 or 1), cosine_similarity, cosent, angle "
        "(scores); on texts: batch_hard (with classes), mse (vectors of the guide)",
    )
    symmetric: bool = Field(
        default=True,
        description="ranking losses: also each positive against all other queries of the batch",
    )
    hold: float = Field(
        default=10.0,
        ge=0,
        description="ranking losses: weight of what holds the vectors of long texts, joined from "
        "documents, where the model of the start has them, so that less is unlearned; 0: nothing "
        "holds them",
    )
    mini_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="texts that the encoder holds at a time with cached gradients; null: 16 for "
        "cached_multiple_negatives, no caching for guided",
    )
    guide: ModelUri | None = Field(
        default=None,
        description="model that guides (guided) or teaches (mse): folder, s3://, gs://, "
        "package://, hf://organisation/name or models:/name@alias",
    )
    guide_margin: float = Field(
        default=0.0,
        ge=-2,
        le=2,
        description="guided: a document is no negative if the guide's cosine is above the "
        "positive's less this",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        le=2,
        description="cosine distance: by which a positive must be closer (triplet, batch_hard; "
        "null: 0.2), or from which negatives are far enough (contrastive, online_contrastive; "
        "null: 0.5)",
    )
    dimensions_per_step: int | None = Field(
        default=None,
        ge=2,
        description="dimensions computed in a step: the widest, and others drawn anew each step "
        "and weighted up for it; null: all",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, names in _READ_BY.items():
            value = getattr(self, key)
            if value and value != type(self).model_fields[key].default and self.name not in names:
                raise ValueError(f"{key}: loss {self.name} takes none; only {', '.join(names)}")
        if self.name in _READ_BY["guide"] and self.guide is None:
            raise ValueError(
                f"guide: missing; loss {self.name} needs a model that guides or teaches"
            )
        return self

    @property
    def cached_rows(self) -> int | None:
        """Texts of a mini-batch with cached gradients; None: none are cached."""
        return (
            16
            if self.name == "cached_multiple_negatives" and not self.mini_batch_size
            else self.mini_batch_size
        )

    @property
    def margin_or_default(self) -> float:
        return self.margin or _MARGINS[self.name]
