"""What manifests say of the texts of a data set, of a search and of the start of a training."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextFacts:
    """The texts of one kind: how many are in each language, and how long they are, as {percent:
    length}.
    """

    languages: dict[str, int] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Searched:
    """What decides scores: vectors that were made or kept otherwise, or cut elsewhere, cannot stand
    in one list.
    """

    encoder: str
    storage: str
    width: int
    ranges: str | None
    dimensions: int


@dataclass(frozen=True)
class Vocabulary:
    """How many pieces a cut tokenizer kept of how many, and how many each character of the texts
    that it was cut for takes.
    """

    kept: int
    whole: int
    pieces_per_character: float


@dataclass(frozen=True)
class Start:
    """How a model was turned before its training.

    `held` {dimension: share of the squared length of vectors in that prefix}, by the vectors of so
    many documents.
    """

    documents: int
    held: dict[int, float]
