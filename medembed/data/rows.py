"""What readers yield: documents, queries and judgments, and rows that they could not read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """A text that can be found, with the group and split that the source gives it.

    Without an id it gets one from its text. `column` names the texts among which its language is
    the usual one; None: all documents.
    """

    text: str
    document_id: str | None = None
    language: str | None = None
    label: str | None = None
    group: str | None = None
    split: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class Query:
    """A text that asks; `column` as a document's, None: all queries."""

    text: str
    query_id: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    split: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class Judgment:
    """How well a document answers a query; 0 is judged not relevant, so a known hard negative.

    Both are named by position in their `Record`: a text that is dropped takes its judgments along.
    A document of another row is named by its id.
    """

    query: int
    document: int | str
    score: float = 1.0
    similarity: float | None = None


@dataclass(frozen=True)
class Qrel:
    """A judgment in a row of its own, which names both sides by id."""

    query_id: str
    document_id: str
    score: float
    split: str | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class Record:
    """What one row of a source says; `dropped` are the rules by which its reader left texts out."""

    documents: tuple[Document, ...] = ()
    queries: tuple[Query, ...] = ()
    judgments: tuple[Judgment, ...] = ()
    qrels: tuple[Qrel, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: what was found and what was expected, without its text."""

    fault: str


Fields = dict[str, Any]
Rows = Iterator[tuple[int, Fields | BadRow]]
"""(line or row number within the part, from 1; the row's fields), in order."""
