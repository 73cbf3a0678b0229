"""What a format tells those who read sources, and the parts that a source is cut into."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from medembed.data.formats.detection import find_encoding
from medembed.data.formats.encodings import UTF8
from medembed.data.formats.lines import count_lines
from medembed.data.reading import AUTO, ReadingConfig
from medembed.data.rows import Record, Rows
from medembed.storage import StoredFile

ListFiles = Callable[[], list[StoredFile]]
Kind = Literal["rows", "corpus", "queries", "qrels"]


@dataclass(frozen=True)
class Part:
    """A file, or a piece of it: bytes [start, end) of lines, or row groups or rows of a table.

    `format` names how it is read; `split` is what the source itself says about all of its rows.
    `encoding` is that of its text; AUTO before its format has cut it.
    """

    uri: str
    format: str
    kind: Kind = "rows"
    start: int = 0
    end: int | None = None
    split: str | None = None
    encoding: str = UTF8


@dataclass(frozen=True)
class CutSource:
    """A source's format, its parts in order, and the fingerprint of its files."""

    format: str
    parts: tuple[Part, ...]
    fingerprint: str


def whole_file(part: Part, size_bytes: int) -> list[Part]:
    """Return a text file as one part, in the encoding that it is found to be in."""
    is_found = part.encoding != AUTO
    return [part if is_found else replace(part, encoding=find_encoding(part.uri))]


def _encoding(part: Part) -> Iterator[tuple[str, str]]:
    return iter([(part.uri, part.encoding)])


def _by_number(part: Part, number: int) -> str:
    return f"{part.uri}:{number}"


def _looks_complete(uri: str, source: ReadingConfig) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format of sources: how it is recognised, cut and read.

    Most are formats of files, known by their `endings` (.gz may follow). Each such file is a source
    by itself, so a data set can grow by it. Other formats `find` a whole source: they return None
    for what is none of theirs.

    `read_rows` yields rows, whose columns are then mapped to texts; `read_records` yields what the
    format itself says about texts. A format of several files may have neither, when its parts are
    of other formats.
    """

    name: str
    endings: tuple[str, ...] = ()
    find: Callable[[ReadingConfig, ListFiles], CutSource | None] | None = None
    read_rows: Callable[[Part, ReadingConfig], Rows] | None = None
    read_records: Callable[[Part, ReadingConfig], Iterator[Record]] | None = None
    # whether the first row may name the columns, so that a source may say that it does not
    has_header: bool = False
    # the names of a file's columns, where it tells them without a row being read
    column_names: Callable[[str], list[str]] | None = None
    # the parts of a file of so many bytes
    cut: Callable[[Part, int], list[Part]] = whole_file
    # each file of a part, and the encoding that it is read in
    encodings: Callable[[Part], Iterator[tuple[str, str]]] = _encoding
    # where the n-th row of a part stands, from 1; may be slow, as only errors ask
    locate: Callable[[Part, int], str] = _by_number
    count_rows: Callable[[str], int] = count_lines
    # why a file may still be written to; None if it looks complete
    why_incomplete: Callable[[str, ReadingConfig], str | None] = _looks_complete
    # whether a complete file may fail that check: then it is made while a file is fresh
    is_check_unsure: bool = False

    @property
    def is_table(self) -> bool:
        """Return whether a file holds rows whose columns say what they are."""
        return self.find is None and self.read_rows is not None
