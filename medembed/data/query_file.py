"""Queries that stand in files of their own, to be asked rather than learnt from."""

from collections.abc import Iterator
from typing import NamedTuple

from medembed import storage
from medembed.data.column_names import NAMES, first_known
from medembed.data.config import SourceConfig
from medembed.data.formats.delimited import TSV
from medembed.data.formats.detection import find_encoding
from medembed.data.formats.format import Part
from medembed.data.formats.lines import TextFile
from medembed.data.formats.table import FORMATS, format_of, format_of_file
from medembed.data.formats.text import TEXT
from medembed.data.parts import find_parts, locate, read_part
from medembed.data.reading import Quoting
from medembed.data.row_values import key_at
from medembed.data.rows import BadRow, Fields
from medembed.errors import DataError
from medembed.language import tr

_TEXT_NAMES = (*NAMES["query"], "text")
_ID_NAMES = (*NAMES["query_id"], "_id", "id")
_ACCEPTED = "query, question, text"


class _Asked(NamedTuple):
    """A query, its id, or else the number of its row, and where it stands."""

    place: str
    name: str
    text: str


def read_queries(uri: str, quoting: Quoting = "auto") -> dict[str, str]:
    """Return {id: text} of queries in any format that `prepare` reads, or one a line.

    A query without an id has the number of its row. A TSV whose first line names no query has an id
    and a text in each line. Raises DataError naming file and line, never the text.
    """
    queries: dict[str, str] = {}
    for asked in _read(uri, quoting):
        if asked.name in queries:
            raise DataError(
                "{place}: its query id stands in a row before, too; ids name one query each.",
                place=asked.place,
            )
        queries[asked.name] = asked.text
    if not queries:
        raise DataError(
            "{uri}: no query there; expected one a line, or rows with a query.", uri=uri
        )
    return queries


def _read(uri: str, quoting: Quoting) -> Iterator[_Asked]:
    is_file = [file.uri for file in storage.find_files(uri)] == [uri]
    if is_file and format_of_file(uri) in (None, TEXT):
        yield from _read_lines(uri)
        return
    source = SourceConfig(path=uri, quoting=quoting)
    cut_source = find_parts(source)
    form = FORMATS[cut_source.format]
    if form is TEXT or form.read_records is not None:
        raise DataError(
            "{uri}: looks like {format}; expected queries.", uri=uri, format=cut_source.format
        )
    for part in cut_source.parts:
        if part.kind in ("rows", "queries"):
            yield from _read_part(part, source)


def _read_lines(uri: str) -> Iterator[_Asked]:
    with TextFile(uri, find_encoding(uri)) as file:
        for number, line in file.texts():
            text = line.strip()
            if text:
                yield _Asked(f"{uri}:{number}", str(number), text)


def _read_part(part: Part, source: SourceConfig) -> Iterator[_Asked]:
    source = source.model_copy(update={"header": _has_header(part, source)})
    file, _, before = locate(part, 0).rpartition(":")
    for number, row in read_part(part, source):
        line = int(before) + number
        try:
            if isinstance(row, BadRow):
                raise ValueError(row.fault)
            text = _text_of(row, has_header=source.header)
            name = first_known(_ID_NAMES, row) if source.header else "1"
            own_id = key_at(row, [name] if name is not None else [])
        except ValueError as fault:
            raise DataError("{place}: {fault}", place=f"{file}:{line}", fault=fault) from None
        yield _Asked(f"{file}:{line}", own_id or str(line), text)


def _has_header(part: Part, source: SourceConfig) -> bool:
    """Return whether a table's first row names its columns. Raises DataError if unclear."""
    if not format_of(part).has_header:
        return True
    _, first = next(read_part(part, source.model_copy(update={"header": False})), (0, {}))
    cells = [] if isinstance(first, BadRow) else [str(cell).strip() for cell in first.values()]
    if not cells or first_known(_TEXT_NAMES, cells) is not None:
        return True
    if part.format == TSV.name and len(cells) == 2:
        return False
    raise DataError(
        "{uri}: its first line names no column of queries ({names}) among "
        "{count}; put such names above the rows, or give a TSV of ids and texts.",
        uri=part.uri,
        names=_ACCEPTED,
        count=len(cells),
    )


def _text_of(row: Fields, *, has_header: bool) -> str:
    """Return the row's query. Raises ValueError with the fault, never the text."""
    if not has_header and len(row) != 2:
        raise ValueError(tr("found {count} cells; expected an id and a text.", count=len(row)))
    name = first_known(_TEXT_NAMES, row) if has_header else "2"
    text = row[name] if name is not None else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(tr("missing or empty query; accepted names: {names}.", names=_ACCEPTED))
    return text.strip()
