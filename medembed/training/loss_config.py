"""Declare the losses, what each reads and takes, and the config that chooses one.

A new loss is a name and its traits here, and a case in losses/by_name.py.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, Self

from pydantic import Field, model_validator

from medembed.config import Config, ModelUri
from medembed.language import tr

LossName = Literal[
    "multiple_negatives", "triplet", "contrastive", "cosine_similarity", "batch_hard", "distill"
]


class Rows(Enum):
    """What a loss reads of a data set."""

    EXAMPLES = auto()  # a query with its positive and its mined negatives
    TRIPLETS = auto()  # a query, its positive and one of its mined negatives
    JUDGMENTS = auto()  # a query, a document, and 1 for a positive, else 0
    SIMILARITIES = auto()  # a query, a document, and their score
    CLASSED_TEXTS = auto()  # a text and its class; rows of one class come in pairs
    TAUGHT_TEXTS = auto()  # a query or a document, and the guide's vector


@dataclass(frozen=True)
class LossTraits:
    """What a loss reads, and which keys of `LossConfig` it takes."""

    rows: Rows
    options: tuple[str, ...] = ()
    # the usual one, in cosine distance from 0 to 2; None: the loss takes no margin
    margin: float | None = None
    # whether it ranks a query's positive among all documents of the batch, of which some may be
    # empty stand-ins (`NO_DOCUMENT`) for mined ones that are missing
    ranks: bool = False

    @property
    def reads_examples(self) -> bool:
        """Return whether the loss reads what mining gives."""
        return self.rows in (Rows.EXAMPLES, Rows.TRIPLETS)

    @property
    def is_paired(self) -> bool:
        """Return whether its rows come in pairs of one class, in batches of even size."""
        return self.rows is Rows.CLASSED_TEXTS

    @property
    def is_taught(self) -> bool:
        """Return whether the model learns from the guide's vectors, and so leaves its own space."""
        return self.rows is Rows.TAUGHT_TEXTS

    def takes(self, option: str) -> bool:
        return option in self.options or (option == "margin" and self.margin is not None)


# The margin of triplet is the usual one on unit vectors, that of contrastive is
# sentence-transformers' own.
TRAITS: dict[LossName, LossTraits] = {
    "multiple_negatives": LossTraits(
        Rows.EXAMPLES, options=("symmetric", "hold", "mini_batch_size", "guide"), ranks=True
    ),
    "triplet": LossTraits(Rows.TRIPLETS, margin=0.2),
    "batch_hard": LossTraits(Rows.CLASSED_TEXTS, margin=0.2),
    "contrastive": LossTraits(Rows.JUDGMENTS, margin=0.5),
    "cosine_similarity": LossTraits(Rows.SIMILARITIES),
    "distill": LossTraits(Rows.TAUGHT_TEXTS, options=("guide", "targets")),
}


class TargetsConfig(Config):
    """What a student learns from its teacher's vectors, each with a weight; 0: not that."""

    embeddings: float = Field(
        default=1.0, ge=0, description="distill: weight of the cosine distance of each vector"
    )
    similarities: float = Field(
        default=0.0,
        ge=0,
        description="distill: weight of what the student's ranking of the batch's texts, as "
        "probabilities by training.temperature, lacks of the teacher's (KL divergence)",
    )
    margins: float = Field(
        default=0.0,
        ge=0,
        description="distill: weight of the squared error of the difference of two texts' cosines "
        "to a third (margin MSE)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.embeddings or self.similarities or self.margins):
            raise ValueError(tr("all weights are 0; give one a weight above 0"))
        return self


class LossConfig(Config):
    """A loss by name and its options. It is the weighted mean over the Matryoshka dimensions."""

    name: LossName = Field(
        default="multiple_negatives",
        description="on examples: multiple_negatives (each positive against all other documents "
        "of the batch), triplet (positive before negative by a margin); on judged pairs: "
        "contrastive (0 or 1), cosine_similarity (scores); on texts: batch_hard (with classes), "
        "distill (what the guide makes of them)",
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
        "(multiple_negatives; null: only known positives are) or that teaches (distill): folder, "
        "s3://, gs://, package://, hf://organisation/name or models:/name@alias",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        le=2,
        description="cosine distance: by which a positive must be closer (triplet, batch_hard; "
        "null: 0.2), or from which negatives are far enough (contrastive; null: 0.5)",
    )
    targets: TargetsConfig = TargetsConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key == "name" or not value or value == field.default or self.traits.takes(key):
                continue
            takers = [name for name, traits in TRAITS.items() if traits.takes(key)]
            raise ValueError(
                tr(
                    "{key}: loss {loss} takes none; only {takers}",
                    key=key,
                    loss=self.name,
                    takers=", ".join(takers),
                )
            )
        return self

    @property
    def traits(self) -> LossTraits:
        """Return what this loss reads and takes."""
        return TRAITS[self.name]

    @property
    def margin_or_default(self) -> float:
        """Return the margin, or the usual one of this loss."""
        margin = self.margin or self.traits.margin
        assert margin is not None, "only a loss with a margin asks for it"
        return margin
