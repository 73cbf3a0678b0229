"""What readers yield: documents, queries and judgments, each with the place it came from."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """A text that can be found."""

    document_id: str
    text: str
    language: str


@dataclass(frozen=True)
class Query:
    """A text that asks. Queries of one group are not independent: intervals resample groups."""

    query_id: str
    text: str
    language: str
    group_id: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgment:
    """How well a document answers a query; 0 is judged not relevant, so a known hard negative."""

    query_id: str
    document_id: str
    score: float = 1.0


@dataclass(frozen=True)
class Dropped:
    """A row that the reader left out on purpose, with the rule that did it."""

    reason: str


Row = Document | Query | Judgment | Dropped
Rows = Iterator[Row]
