"""Parquet files -> rows, streamed; what they hold is known from their footers."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.formats.encodings import SAMPLE_BYTES, explain_start
from medembed.data.formats.format import Format, Part
from medembed.data.reading import ReadingConfig
from medembed.data.rows import Rows
from medembed.errors import DataError
from medembed.language import tr

_ROWS_PER_PART = 20_000


@contextmanager
def _open(uri: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises DataError for one that cannot be read, then or later."""
    try:
        with storage.open_input(uri) as stream:
            yield pq.ParquetFile(stream)
    except (pa.ArrowException, OSError, ValueError) as error:
        with storage.open_input(uri) as stream:
            start = stream.read(SAMPLE_BYTES)
        fault = None if start.startswith(b"PAR1") else explain_start(start)
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(
            "{place}: {fault}",
            place=uri,
            fault=fault or tr("not a readable Parquet file: {reason}", reason=reason),
        ) from None


def _read(part: Part, source: ReadingConfig) -> Rows:
    number = 0
    with _open(part.uri) as file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise DataError("{uri}: two columns have one name; give each its own.", uri=part.uri)
        groups = None if part.end is None else range(part.start, part.end)
        for batch in file.iter_batches(batch_size=1024, row_groups=groups):
            rows: list[dict[str, Any]] = batch.to_pylist()
            for row in rows:
                number += 1
                yield number, row


def _cut(part: Part, size_bytes: int) -> list[Part]:
    """Return pieces of consecutive row groups, about as many rows each."""
    with _open(part.uri) as file:
        sizes = _rows_of_groups(file)
    starts = [0]
    rows = 0
    for number, size in enumerate(sizes):
        if rows >= _ROWS_PER_PART:
            starts.append(number)
            rows = 0
        rows += size
    ends = [*starts[1:], len(sizes)]
    return [replace(part, start=start, end=end) for start, end in zip(starts, ends, strict=True)]


def _rows_of_groups(file: pq.ParquetFile) -> list[int]:
    about = file.metadata
    return [about.row_group(number).num_rows for number in range(about.num_row_groups)]


def _locate(part: Part, number: int) -> str:
    with _open(part.uri) as file:
        before = sum(_rows_of_groups(file)[: part.start])
    return f"{part.uri}:{before + number}"


def _column_names(uri: str) -> list[str]:
    """Return the names in the schema in NFC; none if the file has no row."""
    with _open(uri) as file:
        names = file.schema_arrow.names if file.metadata.num_rows else []
    return [unicodedata.normalize("NFC", name) for name in names]


def _count_rows(uri: str) -> int:
    with _open(uri) as file:
        return int(file.metadata.num_rows)


def _why_incomplete(uri: str, source: ReadingConfig) -> str | None:
    try:
        with _open(uri):
            return None
    except DataError:
        return tr("it has no Parquet footer")


PARQUET = Format(
    name="parquet",
    endings=(".parquet",),
    read_rows=_read,
    column_names=_column_names,
    cut=_cut,
    locate=_locate,
    count_rows=_count_rows,
    why_incomplete=_why_incomplete,
)
