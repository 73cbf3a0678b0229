"""Which columns a source has, seen in its first rows, and what they mean."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from medembed.data.column_names import SOURCE, explain_absent
from medembed.data.config import SourceConfig
from medembed.data.formats.beir import BEIR, DECLARABLE
from medembed.data.formats.format import CutSource, Part
from medembed.data.formats.table import FORMATS, format_of
from medembed.data.mapping import Mapping, find_mapping
from medembed.data.parts import locate, read_part
from medembed.data.row_values import value_at
from medembed.data.rows import BadRow, Fields
from medembed.errors import DataError
from medembed.language import tr

_ROWS_PER_FILE = 100
_FILES = 16  # whose first rows are looked at; each costs a request to an object store


class NoRows(DataError):
    """A source without a row that can be read."""


@dataclass(frozen=True)
class Seen:
    """Names of columns in the order of the rows, and wanted paths that no row has a value for."""

    names: tuple[str, ...]
    absent: tuple[str, ...]


def look(parts: Sequence[Part], source: SourceConfig, wanted: Sequence[str] = ()) -> Seen:
    """Return the columns that the first rows of the first files have.

    While there is no row yet, or a wanted path is in none of them, all rows are read up to one that
    has it.
    """
    names: dict[str, None] = {}
    absent = dict.fromkeys(wanted)
    first_parts: dict[tuple[str, str | None], Part] = {}
    for part in parts:
        first_parts.setdefault((part.uri, part.split), part)
    for part in list(first_parts.values())[:_FILES]:
        for row in _first_rows(part, source):
            _note(row, names, absent)
    for part in parts:
        if names and not absent:
            break
        for row in _rows_with(absent, part, source):
            _note(row, names, absent)
            if not absent:
                break
    return Seen(tuple(names), tuple(absent))


def _note(row: Fields, names: dict[str, None], absent: dict[str, None]) -> None:
    names.update(dict.fromkeys(row))
    for path in list(absent):
        if path in row or value_at(row, path) is not None:
            del absent[path]


def choose_mapping(
    cut_source: CutSource, source: SourceConfig, *, is_whole: bool = True
) -> Mapping | None:
    """Return the mapping of columns by the first rows; None where the format fixes them.

    If it `is_whole`, each declared column is in some row; what comes in drops may lack some. Raises
    DataError, as NoRows where there is none.
    """
    if is_whole:
        check_header(cut_source, source, SOURCE.header)
    form = FORMATS[cut_source.format]
    if form.read_records is not None:
        return None
    wanted = source.columns.role_of
    if form is BEIR:
        unread = [role for role in wanted.values() if role not in DECLARABLE]
        if unread:
            raise DataError(
                "{path}: a BEIR folder has columns of its own; found source.columns.{role}, "
                "expected none but {roles}.",
                path=source.path,
                role=unread[0],
                roles=", ".join(DECLARABLE),
            )
        check_declared(
            [part for part in cut_source.parts if part.kind in ("corpus", "queries")], source
        )
        return None

    seen = look(cut_source.parts, source, list(wanted))
    if not seen.names:
        raise NoRows(_explain_nothing(cut_source.parts, source))
    is_header = form.has_header and source.header
    mapping = find_mapping(seen.names, source, is_header=is_header)
    if is_whole:
        _check_present(seen, wanted, source, is_header=is_header)
    return mapping


def check_declared(parts: Sequence[Part], source: SourceConfig) -> None:
    """Raise DataError if no row of these parts has a declared column."""
    wanted = source.columns.role_of
    _check_present(look(parts, source, list(wanted)), wanted, source, is_header=False)


def check_header(cut_source: CutSource, source: SourceConfig, key: str) -> None:
    """Raise DataError if a format without headers is said to have none by this key."""
    if not source.header and not FORMATS[cut_source.format].has_header:
        raise DataError(
            "{path}: {key}=false is for CSV and TSV; found {format}.",
            path=source.path,
            key=key,
            format=cut_source.format,
        )


def _check_present(
    seen: Seen, wanted: dict[str, str], source: SourceConfig, *, is_header: bool
) -> None:
    if seen.absent:
        path = seen.absent[0]
        raise DataError(
            "{path}: {fault} No row has a value there: mend the name, or leave it out.",
            path=source.path,
            fault=explain_absent(wanted[path], path, seen.names, SOURCE, is_header=is_header),
        )


def _explain_nothing(parts: Sequence[Part], source: SourceConfig) -> str:
    """Return why no row of a source can be read: the first row's fault, or that there is none."""
    for part in parts:
        for line, row in read_part(part, source):
            if isinstance(row, BadRow):
                return tr(
                    "{place}: {fault} No other row can be read either.",
                    place=locate(part, line),
                    fault=row.fault,
                )
    return tr("{path}: empty; expected rows of texts.", path=source.path)


def _rows(part: Part, source: SourceConfig) -> Iterator[Fields]:
    return (row for _, row in read_part(part, source) if not isinstance(row, BadRow))


def _first_rows(part: Part, source: SourceConfig) -> Iterator[Fields]:
    """Return the first rows of a file; where it tells its columns, one row of these alone."""
    column_names = format_of(part).column_names
    if column_names is not None:
        names = column_names(part.uri)
        return iter([dict.fromkeys(names)] if names else [])
    return itertools.islice(_rows(part, source), _ROWS_PER_FILE)


def _rows_with(paths: Collection[str], part: Part, source: SourceConfig) -> Iterator[Fields]:
    """Return the rows of a part that may have one of the paths, by its schema or header."""
    form = format_of(part)
    if form.column_names is not None:
        starts = {path.split(".")[0] for path in paths}
        if starts.isdisjoint(form.column_names(part.uri)):
            return iter(())
        return _rows(part, source)
    is_header = form.has_header and source.header
    return itertools.islice(_rows(part, source), 1 if is_header else None)
