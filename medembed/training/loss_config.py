"""Declare which loss a model is fine-tuned with."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, ModelUri

LossName = Literal[
    "multiple_negatives", "triplet", "contrastive", "cosine_similarity", "batch_hard", "mse"
]
# The one loss in which a query's positive is ranked among the documents of the batch.
RANKING: LossName = "multiple_negatives"
ON_EXAMPLES: tuple[LossName, ...] = (RANKING, "triplet")
ON_JUDGED_PAIRS: tuple[LossName, ...] = ("contrastive", "cosine_similarity")
# In cosine distance, from 0 to 2. Triplet as usual on unit vectors; contrastive as
# sentence-transformers has it.
_MARGINS: dict[LossName, float] = {"triplet": 0.2, "batch_hard": 0.2, "contrastive": 0.5}
_READ_BY: dict[str, tuple[LossName, ...]] = {
    "symmetric": (RANKING,),
    "hold": (RANKING,),
    "mini_batch_size": (RANKING,),
    "guide": (RANKING, "mse"),
    "margin": tuple(_MARGINS),
}


class LossConfig(Config):
    """A loss by name and its options. It is the weighted mean over the Matryoshka dimensions."""

    name: LossName = Field(
        default="multiple_negatives",
        description="on examples: multiple_negatives (each positive against all other documents "
        "of the batch), triplet (positive before negative by a margin); on judged pairs: "
        "contrastive (0 or 1), cosine_similarity (scores); on texts: batch_hard (with classes), "
        "mse (vectors of the guide)",
    )
    symmetric: bool = Field(
        default=True,
        description="multiple_negatives: also each positive against all other queries of the batch",
    )
    hold: float = Field(
        default=1.25,
        ge=0,
        description="multiple_negatives: weight of what holds the vectors of long texts, joined "
        "from documents, where the model of the start has them, so that less is unlearned, for "
        "each document that such a text is as long as; 0: nothing holds them",
    )
    mini_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="multiple_negatives: texts that the encoder holds at a time, with cached "
        "gradients: large batches in little memory, for one more forward pass; null: all",
    )
    guide: ModelUri | None = Field(
        default=None,
        description="model that tells which documents of a batch are false negatives "
        "(multiple_negatives; null: only known positives are) or that teaches (mse): folder, "
        "s3://, gs://, package://, hf://organisation/name or models:/name@alias",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        le=2,
        description="cosine distance: by which a positive must be closer (triplet, batch_hard; "
        "null: 0.2), or from which negatives are far enough (contrastive; null: 0.5)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, names in _READ_BY.items():
            value = getattr(self, key)
            if value and value != type(self).model_fields[key].default and self.name not in names:
                raise ValueError(f"{key}: loss {self.name} takes none; only {', '.join(names)}")
        if self.name == "mse" and self.guide is None:
            raise ValueError("guide: missing; loss mse needs a model that teaches")
        return self

    @property
    def margin_or_default(self) -> float:
        """Return the margin, or the usual one of this loss."""
        return self.margin or _MARGINS[self.name]
