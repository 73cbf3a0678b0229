"""A part of a source -> its rows as dictionaries, streamed: JSON, CSV and TSV, Parquet."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.delimited import read_table
from medembed.data.hub import read_hub
from medembed.data.json_rows import read_json
from medembed.data.parts import Part
from medembed.data.rows import Rows
from medembed.errors import DataError

TABLES = ("csv", "tsv")  # formats of cells, whose first row may name them


def read_part(part: Part, source: SourceConfig) -> Rows:
    """The rows of a part; a row that cannot be read is a BadRow.

    Raises DataError naming the file where it as a whole cannot be read.
    """
    if part.format == "huggingface":
        return read_hub(source, part.start, part.end, part.split)
    if part.format == "parquet":
        return _read_parquet(part)
    return read_table(part, source) if part.format in TABLES else read_json(part, source)


def locate(part: Part, number: int) -> str:
    """Where the n-th line or row of a part stands, as file:line; slow, so only for errors."""
    if part.format == "huggingface":
        return f"{part.uri}{f'[{part.split}]' if part.split else ''}:{part.start + number}"
    before = 0
    if part.start and part.format == "jsonl":
        # `TextFile.lines` starts one byte before the part and leaves out what follows up to a line
        # end, a line more.
        before = 1
        left = part.start - 1
        with storage.open_input(part.uri) as stream:
            while left > 0 and (block := stream.read(min(left, 1 << 20))):
                before += block.count(b"\n")
                left -= len(block)
    if part.start and part.format == "parquet":
        with storage.open_input(part.uri) as stream:
            about = pq.ParquetFile(stream).metadata
            before = sum(about.row_group(group).num_rows for group in range(part.start))
    return f"{part.uri}:{before + number}"


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
