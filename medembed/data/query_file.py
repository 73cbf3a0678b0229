"""Queries that stand in files of their own, to be asked rather than learnt from."""

from collections.abc import Iterator, Sequence

from medembed import storage
from medembed.data.column_names import NAMES
from medembed.data.config import Quoting, SourceConfig
from medembed.data.fields import key_at
from medembed.data.files import TABLES, locate, read_part
from medembed.data.lines import TextFile
from medembed.data.parts import Part, find_parts, has_format
from medembed.data.rows import BadRow, Fields
from medembed.errors import DataError

_TEXT_NAMES = (*NAMES["query"], "text")
_ID_NAMES = (*NAMES["query_id"], "_id", "id")
_ACCEPTED = ", ".join(["query", "question", "text"])


def read_queries(uri: str, quoting: Quoting = "auto") -> dict[str, str]:
    """{id: text} of queries in any format that `prepare` reads, or one a line; without an id, the
    row's number.

    A TSV whose first line names no query has an id and a text in each line. Raises DataError naming
    file and line, never the text.
    """
    queries: dict[str, str] = {}
    for place, name, text in _read(uri, quoting):
        if name in queries:
            raise DataError(
                f"{place}: its query id stands in a row before, too; ids name one query each."
            )
        queries[name] = text
    if not queries:
        raise DataError(f"{uri}: no query there; expected one a line, or rows with a query.")
    return queries


def _read(uri: str, quoting: Quoting) -> Iterator[tuple[str, str, str]]:
    """(place, id or line number, text) of each query."""
    if not has_format(uri) and [file for file, _, _ in storage.find_files(uri)] == [uri]:
        yield from _read_lines(Part(uri, "text"))
        return
    source = SourceConfig(path=uri, quoting=quoting)
    found = find_parts(source)
    if found.format == "ontology":
        raise DataError(f"{uri}: an ontology; expected queries.")
    for part in found.parts:
        if part.kind in ("rows", "queries"):
            yield from _read_part(part, source)


def _read_part(part: Part, source: SourceConfig) -> Iterator[tuple[str, str, str]]:
    source = source.model_copy(update={"header": _has_header(part, source)})
    file, _, before = locate(part, 0).rpartition(":")
    for number, row in read_part(part, source):
        line = int(before) + number
        try:
            name, text = _parse(row, source)
        except ValueError as fault:
            raise DataError(f"{file}:{line}: {fault}") from None
        yield f"{file}:{line}", name or str(line), text


def _read_lines(part: Part) -> Iterator[tuple[str, str, str]]:
    with TextFile(part) as file:
        for number, line in file.lines():
            place = f"{part.uri}:{number}"
            if isinstance(line, BadRow):
                raise DataError(f"{place}: {line.fault}")
            try:
                text = line.decode().strip()
            except UnicodeDecodeError:
                raise DataError(f"{place}: {file.explain(line)}") from None
            if text:
                yield place, str(number), text


def _has_header(part: Part, source: SourceConfig) -> bool:
    """Whether a table's first row names its columns. Raises DataError where nothing tells which are
    the queries.
    """
    if part.format not in TABLES:
        return True
    first = next(
        (row for _, row in read_part(part, source.model_copy(update={"header": False}))), {}
    )
    cells = (
        [] if isinstance(first, BadRow) else [str(cell).strip().lower() for cell in first.values()]
    )
    if not cells or any(name.lower() in cells for name in _TEXT_NAMES):
        return True
    if part.format == "tsv" and len(cells) == 2:
        return False
    raise DataError(
        f"{part.uri}: its first line names no column of queries ({_ACCEPTED}) among {len(cells)}; "
        "put such names above the rows, or give a TSV of ids and texts."
    )


def _parse(row: Fields | BadRow, source: SourceConfig) -> tuple[str | None, str]:
    """(id or None, text) of a row. Raises ValueError with the fault, never the text."""
    if isinstance(row, BadRow):
        raise ValueError(row.fault)
    if not source.header and len(row) != 2:
        raise ValueError(f"found {len(row)} cells; expected an id and a text.")
    texts, ids = (_TEXT_NAMES, _ID_NAMES) if source.header else (("2",), ("1",))
    column = _first(texts, row)
    text = row[column] if column is not None else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"missing or empty query; accepted names: {_ACCEPTED}.")
    named = _first(ids, row)
    return key_at(row, [named] if named is not None else []), text.strip()


def _first(accepted: Sequence[str], row: Fields) -> str | None:
    """The row's field with the first accepted name, in any case."""
    by_lower = {name.lower(): name for name in row}
    return next((by_lower[name.lower()] for name in accepted if name.lower() in by_lower), None)
