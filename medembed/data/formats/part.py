"""The parts that a source is cut into, by the source alone: the units that workers read."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["rows", "corpus", "queries", "qrels"]


@dataclass(frozen=True)
class Part:
    """A file, or a piece of it: bytes [start, end) of lines, or row groups or rows of a table.

    `format` names how it is read; `split` is what the source itself says about all of its rows.
    """

    uri: str
    format: str
    kind: Kind = "rows"
    start: int = 0
    end: int | None = None
    split: str | None = None


@dataclass(frozen=True)
class CutSource:
    """A source's format, its parts in order, and the fingerprint of its files."""

    format: str
    parts: tuple[Part, ...]
    fingerprint: str
