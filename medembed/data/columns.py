"""Which columns a source has: seen in its first rows, and completed by those that later rows bring.

JSON rows may have columns that no row before has, and so may the next file. The first rows give a
mapping before any work; the pass over the source then reports every name that the mapping does not
know.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.column_names import is_known, show_columns
from medembed.data.config import SourceConfig
from medembed.data.fields import value_at
from medembed.data.files import TABLES, locate, read_part
from medembed.data.mapping import Mapping as Columns
from medembed.data.mapping import widen_mapping
from medembed.data.parts import Part
from medembed.data.rows import BadRow, Fields
from medembed.errors import DataError

_ROWS_PER_FILE = 100
# columns of unknown names that a part notes: rows whose keys are data have one each
_MOST_UNKNOWN = 100
_FILES = 16  # whose first rows are looked at; each costs a request to an object store


@dataclass(frozen=True)
class Seen:
    """Names of columns in the order in which rows have them, and the wanted paths that no row has a
    value for.
    """

    names: tuple[str, ...]
    absent: tuple[str, ...]


def look(parts: Sequence[Part], source: SourceConfig, wanted: Sequence[str] = ()) -> Seen:
    """Return what the first rows of the first files have.

    While there is no row yet, or a wanted path is in none of them, all rows are read up to one that
    has it.
    """
    names: dict[str, None] = {}
    absent = dict.fromkeys(wanted)
    firsts = {(part.uri, part.split): part for part in reversed(parts)}
    heads = list(reversed(firsts.values()))[:_FILES]
    for row in itertools.chain.from_iterable(_first_rows(part, source) for part in heads):
        _note(row, names, absent)
    for part in parts:
        if names and not absent:
            break
        for row in _rows_with(absent, part, source):
            _note(row, names, absent)
            if not absent:
                break
    return Seen(tuple(names), tuple(absent))


class LateColumns:
    """Columns of a part's rows that its mapping does not know: `lines` {column: the first line that
    has it}.
    """

    def __init__(self, mapping: Columns, part: Part, source: SourceConfig) -> None:
        self.mapping, self.part, self.source = mapping, part, source
        self.lines: dict[str, int] = {}
        self._met = set(mapping.names)

    def check(self, row: Fields, line: int) -> None:
        """Notes what is new in the row. Raises DataError, with the place, if it asks for rows to be
        read otherwise.
        """
        if not self._met or self._met.issuperset(row):
            return
        for name in row:
            if name in self._met:
                continue
            means_something = is_known(name)
            if means_something:
                _widen(self.mapping, {name: line}, self.part, self.source)
            if means_something or len(self.lines) < _MOST_UNKNOWN:
                self.lines[name.encode(errors="replace").decode()] = line
                self._met.add(name)

    def describe(self, row: Fields) -> str:
        """Return a sentence for an error about columns that the mapping does not know; "" if it
        knows all.
        """
        names = [name for name in row if self._met and name not in self.mapping.names]
        if not names:
            return ""
        return (
            " The row has columns that the first rows lack: "
            f"{show_columns(names, is_header=False)}."
        )


def complete(
    mappings: Mapping[str, Columns | None],
    late: Mapping[int, Mapping[str, int]],
    parts: Sequence[Part],
    source: SourceConfig,
) -> tuple[dict[str, Columns | None], set[int]]:
    """Return the mappings {URI: mapping} with what came `late`, and the parts whose rows they read
    otherwise.

    `late` {part: {column: line of the first row that has it}} are columns that the part's mapping
    does not know. Files that are read alike stay so. Raises DataError, with the place, if a column
    asks for rows to be read otherwise.
    """
    completed = dict(mappings)
    for mapping in dict.fromkeys(one for one in mappings.values() if one is not None):
        alike = {uri for uri, one in mappings.items() if one == mapping}
        wider = mapping
        for number in sorted(late):
            part = parts[number]
            if part.uri in alike:
                wider = _widen(wider, late[number], part, source)
        completed |= dict.fromkeys(alike, wider)
    again = {
        number for number, columns in late.items() if _reads(completed[parts[number].uri], columns)
    }
    return completed, again


def _reads(mapping: Columns | None, columns: Mapping[str, int]) -> bool:
    return mapping is not None and not mapping.used.isdisjoint(columns)


def _widen(
    mapping: Columns, columns: Mapping[str, int], part: Part, source: SourceConfig
) -> Columns:
    for name, line in columns.items():
        if name in mapping.names:
            continue
        try:
            mapping = widen_mapping(mapping, [name], source)
        except DataError as fault:
            raise DataError(
                f"{locate(part, line)}: no row before has the column {name!r}: {fault}"
            ) from None
    return mapping


def _note(row: Fields, names: dict[str, None], absent: dict[str, None]) -> None:
    names.update(dict.fromkeys(row))
    for path in list(absent):
        if path in row or value_at(row, path) is not None:
            del absent[path]


def _rows(part: Part, source: SourceConfig) -> Iterator[Fields]:
    return (row for _, row in read_part(part, source) if not isinstance(row, BadRow))


def _first_rows(part: Part, source: SourceConfig) -> Iterator[Fields]:
    """The first rows of a file; of a Parquet file its schema alone, as a row without values."""
    if part.format == "parquet":
        names = _schema_names(part.uri)
        return iter([dict.fromkeys(names)] if names else [])
    return itertools.islice(_rows(part, source), _ROWS_PER_FILE)


def _rows_with(paths: Mapping[str, None], part: Part, source: SourceConfig) -> Iterator[Fields]:
    """The rows of a part that may have one of the paths; if its schema or its header says that none
    does, the first.
    """
    if part.format == "parquet":
        names = set(_schema_names(part.uri))
        return (
            _rows(part, source) if any(path.split(".")[0] in names for path in paths) else iter(())
        )
    return itertools.islice(
        _rows(part, source), 1 if part.format in TABLES and source.header else None
    )


def _schema_names(uri: str) -> list[str]:
    """The columns of a Parquet file; none if it has no row."""
    try:
        with storage.open_input(uri) as stream:
            file = pq.ParquetFile(stream)
            return list(file.schema_arrow.names) if file.metadata.num_rows else []
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{uri}: not a readable Parquet file: {reason}") from None
