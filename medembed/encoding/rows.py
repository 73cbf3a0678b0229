"""Read all rows of a table for memory: as the table keeps them, or as codes of its vectors; and
vectors of some rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.bits import measure_bits, to_bits
from medembed.codes import Codes, Ranges, to_int8
from medembed.encoding.codec import Numbers
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.table import Table, read_numbers, read_shard, reading
from medembed.errors import ConfigError

Vectors = npt.NDArray[np.float32]
RowNumbers = npt.NDArray[np.int64]
# Codes of so many are made in a core's cache: six times as fast as those of a whole fragment, and
# without copies of it.
_ROWS_AT_ONCE = 4096


class FetchRows:
    """Gives vectors float32 [n, width] of rows by their numbers in one version of a table.

    A class, so that the table is opened once.
    """

    def __init__(self, table: Table) -> None:
        self.uri = table.uri
        self.dataset = open_lance(table.uri, table.version)
        self.codec = table.codec()

    def __call__(self, rows: RowNumbers) -> Vectors:
        with reading(self.uri):
            taken = self.dataset.take(rows.tolist(), columns=["embedding"])
        return self.codec.read(taken["embedding"])


@dataclass(frozen=True)
class TableRows:
    """The rows of a table in its order: their ids, and parts [n, size] of one type of numbers.

    Parts are float32 vectors, unless `codes` by `ranges` says what they are. `fetch` is there if
    the table has vectors that are finer than these codes.
    """

    ids: list[str]
    parts: Iterator[Numbers]
    codes: Codes | None
    ranges: Ranges | None
    fetch: FetchRows | None


def check_codes(table: Table, codes: Codes | None) -> None:
    """Raise ConfigError if no such codes can be made of a table's vectors."""
    if codes == "int8" and table.info.storage == "binary":
        raise ConfigError(
            "{uri}: keeps bits, of which no int8 codes can be made; choose binary, or encode the "
            "corpus into a table with storage=int8.",
            uri=table.uri,
        )


def read_rows(table: Table, codes: Codes | None = None) -> TableRows:
    """Return the rows of a version; one fragment at a time is read.

    None: codes that the table keeps as they are, float32 of its other vectors. Ranges of codes that
    it does not keep are measured on all its vectors, which are read twice then. Raises the error
    of `check_codes`.
    """
    check_codes(table, codes)
    ids: list[str] = []
    fragments = table.keys()
    for keys in fragments:
        ids += keys.ids.to_pylist()
    kept = table.info.storage
    if kept in ("int8", "binary") and codes in (None, kept):
        own = (read_numbers(shard) for shard in table.shards())
        return TableRows(ids, own, kept, table.codec().ranges, None)
    if codes is None:
        return TableRows(ids, _read_vectors(table), None, None, None)
    if codes == "int8":
        ranges = _measure_ranges(table)
        parts = (to_int8(vectors, ranges) for vectors in _read_vectors(table))
        return TableRows(ids, parts, codes, ranges, FetchRows(table))
    levels = measure_bits(_read_vectors(table))
    bits = (to_bits(vectors, levels) for vectors in _read_vectors(table))
    return TableRows(ids, bits, codes, levels, FetchRows(table))


def _read_vectors(table: Table) -> Iterator[Vectors]:
    for shard in table.shards():
        vectors = read_shard(shard).embeddings
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            yield vectors[start : start + _ROWS_AT_ONCE]


def _measure_ranges(table: Table) -> Ranges:
    """Return the ranges of all vectors of the table, which has some."""
    ranges: Ranges | None = None
    for vectors in _read_vectors(table):
        of_part = Ranges(vectors.min(axis=0), vectors.max(axis=0), len(vectors))
        ranges = of_part if ranges is None else ranges.join(of_part)
    assert ranges is not None, "a table that is searched has rows"
    return ranges
