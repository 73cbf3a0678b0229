"""A part of a source -> its rows as dictionaries, streamed: JSON lines, CSV and TSV, Parquet."""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.column_names import by_number
from medembed.data.config import SourceConfig
from medembed.data.hub import read_hub
from medembed.data.parts import Part
from medembed.data.rows import BadRow, Fields, Rows
from medembed.errors import DataError, StorageError

TABLES = ("csv", "tsv")  # formats of cells, whose first row may name them
_LONGEST_LINE = 64 << 20  # bytes; a longer line is no row, and would not fit in a worker
_BOM = b"\xef\xbb\xbf"
_NOT_UTF8 = "not UTF-8{place}; convert the file, e.g. iconv -f WINDOWS-1252 -t UTF-8."


def read_part(part: Part, source: SourceConfig) -> Rows:
    """The rows of a part; a row that cannot be read is a BadRow.

    Raises DataError naming the file where it as a whole cannot be read.
    """
    if part.format == "huggingface":
        return read_hub(source, part.start, part.end, part.split)
    if part.format == "parquet":
        return _read_parquet(part)
    return _read_csv(part, source) if part.format in TABLES else _read_jsonl(part)


def locate(part: Part, number: int) -> str:
    """Where the n-th line or row of a part stands, as file:line. Counts what lies before the part: only for errors."""
    if part.format == "huggingface":
        return f"{part.uri}{f'[{part.split}]' if part.split else ''}:{part.start + number}"
    before = 0
    if part.start and part.format == "jsonl":
        # `_lines` starts one byte before the part and leaves out what follows up to a line end: that line is one more.
        before, left = 1, part.start - 1
        with storage.open_input(part.uri) as stream:
            while left > 0 and (block := stream.read(min(left, 1 << 20))):
                before, left = before + block.count(b"\n"), left - len(block)
    if part.start and part.format == "parquet":
        with storage.open_input(part.uri) as stream:
            about = pq.ParquetFile(stream).metadata
            before = sum(about.row_group(group).num_rows for group in range(part.start))
    return f"{part.uri}:{before + number}"


def _read_jsonl(part: Part) -> Rows:
    for number, line in _lines(part):
        if isinstance(line, BadRow):
            yield number, line
        elif line.strip():
            yield number, _parse_json(line)


def _parse_json(line: bytes) -> Fields | BadRow:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(_NOT_UTF8.format(place=f" at byte {error.start} of the line"))
    except json.JSONDecodeError as error:
        return BadRow(f"not valid JSON at column {error.colno}: {error.msg}.{_one_a_line(line)}")
    except ValueError:
        return BadRow("holds a number of thousands of digits.")
    except RecursionError:
        return BadRow("JSON nested too deeply.")
    if isinstance(row, dict):
        return row
    return BadRow(f"expected a JSON object, found {type(row).__name__}.{_one_a_line(line)}")


def _one_a_line(line: bytes) -> str:
    """What to do about a JSON document over several lines, or an array of rows."""
    if line.lstrip().startswith(b"["):
        return " Expected one object a line, as jq -c '.[]' writes them."
    return " Expected one object a line, as jq -c . writes them." if line.strip() == b"{" else ""


def _lines(part: Part) -> Iterator[tuple[int, bytes | BadRow]]:
    """The lines that start in a part's bytes, numbered from 1, without line ends and byte order mark."""
    with _open(part) as stream:
        if part.start:
            stream.seek(part.start - 1)
            _skip_line(stream)  # the rest of a line that starts in the part before, or its line end alone
        position, number = stream.tell() if part.end is not None else 0, 0
        while part.end is None or position < part.end:
            line = _next_line(stream, part, number)
            if not line:
                return
            number, position = number + 1, position + len(line)
            if _is_cut(line):
                position += _skip_line(stream)
                yield number, BadRow(f"longer than {_LONGEST_LINE >> 20} MiB.")
                continue
            yield number, (line.removeprefix(_BOM) if number == 1 and not part.start else line).rstrip(b"\r\n")


def _next_line(stream: BinaryIO, part: Part, number: int) -> bytes:
    try:
        return stream.readline(_LONGEST_LINE + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"{part.uri}: truncated or damaged gzip file after line {number}; fetch it again.") from None
    except OSError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"{part.uri}: cannot read it after line {number}: {reason}") from None


def _is_cut(line: bytes) -> bool:
    return len(line) > _LONGEST_LINE and not line.endswith(b"\n")


def _skip_line(stream: BinaryIO) -> int:
    skipped = 0
    while block := stream.readline(1 << 20):
        skipped += len(block)
        if block.endswith(b"\n"):
            break
    return skipped


def _open(part: Part) -> BinaryIO:
    stream = storage.open_input(part.uri)
    if part.uri.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 20)
    start = stream.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{part.uri}: UTF-16; expected UTF-8: convert it, e.g. iconv -f UTF-16 -t UTF-8.")
    if start[:2] == b"\x1f\x8b":
        raise DataError(f"{part.uri}: compressed by gzip; give it a name that ends in .gz.")
    stream.seek(0)
    return stream


def _read_csv(part: Part, source: SourceConfig) -> Rows:
    csv.field_size_limit(_LONGEST_LINE)
    lines = _text_lines(part)
    before, first = next(((count, line) for count, line in enumerate(lines) if line.strip()), (0, ""))
    unquoted = re.sub(r'"[^"]*"', "", first)
    delimiter = "\t" if part.format == "tsv" else max(",;\t|", key=unquoted.count)
    # Where cells are never quoted (TSV as BEIR has it), a lone quote is a character like any other.
    quoting: Any = csv.QUOTE_NONE if part.format == "tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, quoting=quoting, strict=True)
    number = before + 1  # of the line that a row starts in: a quoted cell goes over several
    names: list[str] | None = None
    try:
        for cells in reader:
            if source.header and names is None:
                names = _header([name.strip() for name in cells], f"{part.uri}:{number}")
            elif cells:
                yield number, _to_fields(names or by_number(len(cells)), cells)
            number = before + reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{part.uri}:{number}: not valid CSV: {error}; check the quotes from this line on.") from None


def _header(names: list[str], place: str) -> list[str]:
    """The names of columns; one without a name, as pandas writes its index, is not read."""
    if not _is_utf8(names):
        raise DataError(f"{place}: {_NOT_UTF8.format(place='')}")
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise DataError(
            f"{place}: the header has a name twice; give each of its {len(names)} columns its own, or say that there "
            "is none (header=false)."
        )
    return names


def _to_fields(names: list[str], cells: list[str]) -> Fields | BadRow:
    if len(cells) != len(names):
        return BadRow(f"found {len(cells)} cells, expected {len(names)} as in the header.")
    if not _is_utf8(cells):
        return BadRow(_NOT_UTF8.format(place=""))
    return {name: cell for name, cell in zip(names, cells, strict=True) if name}


def _is_utf8(cells: list[str]) -> bool:
    """Whether nothing in the cells was marked by `_text_lines`."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_lines(part: Part) -> Iterator[str]:
    """Lines with their ends, as the csv module wants them; bytes that are no UTF-8 are marked as surrogates."""
    with _open(part) as stream:
        number = 0
        while line := _next_line(stream, part, number):
            number += 1
            if _is_cut(line):
                raise DataError(f"{part.uri}:{number}: longer than {_LONGEST_LINE >> 20} MiB; expected rows of text.")
            yield (line.removeprefix(_BOM) if number == 1 else line).decode("utf-8", "surrogateescape")


def _read_parquet(part: Part) -> Rows:
    number = 0
    try:
        with storage.open_input(part.uri) as stream:
            file = pq.ParquetFile(stream)
            if len(set(file.schema_arrow.names)) < len(file.schema_arrow.names):
                raise DataError(f"{part.uri}: two columns have one name; give each its own.")
            groups = None if part.end is None else range(part.start, part.end)
            for batch in file.iter_batches(batch_size=1024, row_groups=groups):
                rows: list[dict[str, Any]] = batch.to_pylist()
                for row in rows:
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{part.uri}: not a readable Parquet file: {reason}") from None
