"""CSV and TSV -> rows: cells as pandas, R and Excel write them, or taken as they are."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from medembed.data.column_names import by_number
from medembed.data.formats.encodings import damaged
from medembed.data.formats.format import Format, Part, whole_file
from medembed.data.formats.lines import LONGEST_LINE, TextFile
from medembed.data.reading import ReadingConfig
from medembed.data.rows import BadRow, Fields, Rows
from medembed.errors import DataError
from medembed.language import to_translate, tr

ONLY_QRELS = to_translate(
    "judgments by id, without texts; give the folder that holds them as qrels/test.tsv (TREC's "
    "form or BEIR's) beside corpus.jsonl and queries.jsonl."
)
_EXCEL = re.compile(r'"?sep=(.)"?\s*')  # the first line by which Excel knows the delimiter
# what the csv module says, in its words
_CUT_OFF = to_translate("unexpected end of data")
_CSV_FAULTS = (
    to_translate("',' expected after '\"'"),
    to_translate("';' expected after '\"'"),
    to_translate("'\t' expected after '\"'"),
)
_QRELS = ["query-id", "corpus-id", "score"]
_TREC = ["query-id", "", "corpus-id", "score"]  # a column without a name is not read
# for one within a line, which the csv module refuses outside quotes; no decoded text has it
_CR = "\udc0d"
_RAW = "source.quoting=none (encode: columns.quoting=none; search: quoting=none)"


class _Row(NamedTuple):
    """The line that a row starts in, its cells, and the lines that it goes over."""

    number: int
    cells: list[str]
    lines: tuple[str, ...]


class _Start(NamedTuple):
    """How many blank lines come first, the line after them, and all lines from that on."""

    blank: int
    first: str
    lines: Iterator[str]


def read_table(part: Part, source: ReadingConfig) -> Rows:
    """Yield the rows of a table. Raises DataError, naming the line, where quotes do not fit."""
    with TextFile(part.uri, part.encoding) as file:
        before, first, lines = _skip_blank(file.text_lines())
        excel = _EXCEL.fullmatch(first)
        if excel:
            next(lines)
            blank, first, lines = _skip_blank(lines)
            before += 1 + blank
        if part.kind == "qrels" and "\t" not in first:  # TREC's are separated by spaces
            lines = ("\t".join(line.split()) for line in lines)
        delimiter = excel[1] if excel else _find_delimiter(first, part)
        split = _split_raw if source.quoting == "none" else _split_quoted
        rows = split(lines, delimiter, before, part.uri)
        if delimiter == "\t" and source.quoting == "auto":
            rows = _refuse_merged(rows, part.uri)
        yield from _name_cells(rows, part, source, file)


def _skip_blank(lines: Iterator[str]) -> _Start:
    for number, line in enumerate(lines):
        if line.strip():
            return _Start(number, line, chain([line], lines))
    return _Start(0, "", iter(()))


def _find_delimiter(first: str, part: Part) -> str:
    if part.format == "tsv":
        return "\t"
    return max(",;\t|", key=re.sub(r'"[^"]*"', "", first).count)


def _split_raw(lines: Iterable[str], delimiter: str, before: int, uri: str) -> Iterator[_Row]:
    """Yield each line as a row; a quote is a character like any other."""
    for number, line in enumerate(lines, start=before + 1):
        bare = line.rstrip("\r\n")
        if bare:
            yield _Row(number, bare.split(delimiter), (line,))


def _split_quoted(lines: Iterable[str], delimiter: str, before: int, uri: str) -> Iterator[_Row]:
    """Yield rows whose quoted cells may hold delimiters, line ends and doubled quotes."""
    csv.field_size_limit(LONGEST_LINE)
    taken: list[str] = []
    number = before + 1

    def take() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            bare = line.rstrip("\r\n")
            yield bare.replace("\r", _CR) + line[len(bare) :]

    reader = csv.reader(take(), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                "{place}: not valid CSV: {error}; {advice}",
                place=f"{uri}:{number}",
                error=tr(str(error)),
                advice=_mend_quotes(taken),
            ) from error
        if cells is None:
            return
        if cells:
            yield _Row(number, [cell.replace(_CR, "\r") for cell in cells], tuple(taken))
        number += len(taken)
        taken.clear()


def _mend_quotes(lines: Iterable[str]) -> str:
    if any('\\"' in line for line in lines):
        return tr(
            "double the quotes in quoted cells instead of escaping them (R: qmethod='double')."
        )
    return tr(
        "check the quotes from this line on, or set {key} if quotes are characters like any other.",
        key=_RAW,
    )


def _refuse_merged(rows: Iterator[_Row], uri: str) -> Iterator[_Row]:
    """Yield the rows. Raises DataError where stray quotes may have joined lines of a raw TSV."""
    width = 0
    for row in rows:
        width = width or row.lines[0].count("\t")
        if len(row.lines) > 1 and all(line.count("\t") == width for line in row.lines):
            raise DataError(
                "{place}: a quote opens a cell that goes over {count} lines, each of "
                "which would be a row by itself; set {key} if quotes are characters like any "
                "other, quoting=minimal if the cell is one.",
                place=f"{uri}:{row.number}",
                count=len(row.lines),
                key=_RAW,
            )
        yield row


def _name_cells(rows: Iterator[_Row], part: Part, source: ReadingConfig, file: TextFile) -> Rows:
    first = next(rows, None)
    if first is None:
        return
    if part.kind == "rows" and source.header and are_qrels(first.cells):
        raise DataError("{place}: {fault}", place=part.uri, fault=tr(ONLY_QRELS))
    names = _names_without_header(first.cells, part, source)
    if not names:
        names = _header([name.strip() for name in first.cells], f"{part.uri}:{first.number}", file)
    else:
        rows = chain([first], rows)
    for position, row in enumerate(rows, start=1):
        if part.kind == "rows" and not source.header:
            names = by_number(len(row.cells))
        yield row.number, _to_fields(names, row.cells, position, file)


def _names_without_header(first: list[str], part: Part, source: ReadingConfig) -> list[str]:
    """Return the names of columns where the first row has none, as in many qrels; else []."""
    if part.kind == "rows":
        return [] if source.header else by_number(len(first))
    is_data = "query-id" not in first and re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", first[-1])
    return {3: _QRELS, 4: _TREC}.get(len(first), []) if is_data else []


def are_qrels(first: list[str]) -> bool:
    """Return whether a table begins with BEIR's header of judgments, or a row of TREC's."""
    return first[:2] == _QRELS[:2] or (
        len(first) == 4 and first[1] in ("0", "Q0") and first[3].strip().isdecimal()
    )


def _header(names: list[str], place: str, file: TextFile) -> list[str]:
    """Return the names of columns; one without a name, as pandas writes its index, is not read."""
    if not _are_valid(names):
        raise DataError("{place}: {fault}", place=place, fault=damaged(file.encoding))
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise DataError(
            "{place}: the header has a name twice; give each of its {count} columns its own, "
            "or say that there is none (header=false).",
            place=place,
            count=len(names),
        )
    return names


def _to_fields(
    names: list[str], cells: list[str], position: int, file: TextFile
) -> Fields | BadRow:
    """Return a row by the names of its columns; `position` counts rows from 1."""
    if len(cells) != len(names):
        are_named = len(cells) == len(names) + 1 and cells[0] == str(position)
        advice = tr(" Leave out the row names (R: row.names=FALSE).") if are_named else ""
        return BadRow(
            tr(
                "found {count} cells, expected {expected} as in the header.{advice}",
                count=len(cells),
                expected=len(names),
                advice=advice,
            )
        )
    if not _are_valid(cells):
        return BadRow(damaged(file.encoding))
    return {name: cell for name, cell in zip(names, cells, strict=True) if name}


def _are_valid(cells: list[str]) -> bool:
    """Return whether cells are text, without the marks of other bytes by `text_lines`."""
    joined = " ".join(cells)
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why_incomplete(uri: str, source: ReadingConfig) -> str | None:
    """Return why a table is incomplete. A complete one with one quote too many looks so, too."""
    name = "tsv" if uri.lower().endswith(".tsv") else "csv"
    try:
        (part,) = whole_file(Part(uri, name, encoding=source.encoding), 0)
        rows = (row for _, row in read_table(part, source))
        first = next(rows, None)
        last = next(iter(deque(rows, maxlen=1)), first)
    except DataError as error:
        is_cut = str(error.__cause__) == _CUT_OFF
        return tr("its last cell breaks off") if is_cut else None
    # without a header a row is no BadRow for having fewer cells
    is_short = isinstance(first, dict) and isinstance(last, dict) and len(last) < len(first)
    return tr("its last row breaks off") if is_short or isinstance(last, BadRow) else None


CSV = Format(
    name="csv",
    endings=(".csv",),
    read_rows=read_table,
    has_header=True,
    why_incomplete=_why_incomplete,
    is_check_unsure=True,
)
TSV = replace(CSV, name="tsv", endings=(".tsv",))
