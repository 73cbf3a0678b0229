"""The embedding table that a replica searches, one version of it, and the fields of its
documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from medembed import storage
from medembed.artifact import read_manifest
from medembed.config import Config, InputUri
from medembed.encoding.index import OpenIndex, check_index
from medembed.encoding.table import Table, read_shard
from medembed.errors import ConfigError, DataError, StorageError
from medembed.lineage import DatasetManifest
from medembed.search.in_memory import RowsInMemory
from serve.replica.protocol import TableFacts

DocumentField = Literal["text", "language", "label", "split", "content_hash"]


class SearchConfig(Config):
    """How the table is searched, and what is told of the documents found."""

    enabled: bool = Field(
        default=True,
        description="answer POST /v1/search by the table; false: it gives int8 and uint8 outputs "
        "alone",
    )
    by: Literal["memory", "index"] = Field(
        default="memory",
        description="memory: exactly, at any dimensions and by a funnel; each replica holds the "
        "table as float32, 1.5 GB for a million rows of 384 dimensions. index: by the table's "
        "vector index, at full width alone",
    )
    max_rows: int = Field(
        default=1_000_000, ge=1, description="rows that a replica may hold; no start with more"
    )
    documents: InputUri | None = Field(
        default=None,
        description="data set of the table, whose fields are given to all who may ask: mind "
        "patients' texts. Each replica holds them in memory. null: ids and scores alone",
    )
    fields: tuple[DocumentField, ...] = Field(
        default=("text",), description="columns of the data set's corpus to give"
    )


class Documents:
    """Fields of corpus rows by row id. A class, so that the columns are read once."""

    def __init__(self, uri: str, fields: tuple[str, ...], held: RowsInMemory | None = None) -> None:
        """`held` are the rows that `match` chooses among.

        Raises StorageError if there is no such data set, or a file of it cannot be read.
        """
        parts = [
            storage.read_parquet(file, ["document_id", *fields]) for file in _corpus_files(uri)
        ]
        rows = pa.concat_tables(parts)
        self.row_of = {name: row for row, name in enumerate(rows["document_id"].to_pylist())}
        self.rows = rows.select(list(fields))
        # Where each held row is in the data set; behind its end if it is not there.
        names = held.rows.ids.tolist() if held else []
        self.lines = np.array([self.row_of.get(name, len(rows)) for name in names], dtype=np.int32)

    def find(self, row_ids: Iterable[str]) -> list[dict[str, Any]]:
        """{field: value} of each row, in this order; {} for one that the data set lacks."""
        places = [self.row_of.get(name) for name in row_ids]
        return [
            {} if place is None else self.rows.slice(place, 1).to_pylist()[0] for place in places
        ]

    def match(self, wanted: Mapping[str, Sequence[str]]) -> npt.NDArray[np.bool_]:
        """Return of each held row whether its fields have one of these values each; one without
        fields has not.
        """
        matches = np.ones(len(self.rows), dtype=bool)
        for name, values in wanted.items():
            column = self.rows[name]
            matches &= pc.is_in(column, value_set=pa.array(values, type=column.type)).to_numpy()
        return np.append(matches, False)[self.lines]


@dataclass(frozen=True)
class SearchTable:
    """A version of a table, ready to be searched: its rows in memory, or its index; and its
    documents, if any.
    """

    table: Table
    rows: RowsInMemory | OpenIndex
    documents: Documents | None

    def facts(self) -> TableFacts:
        """What clients are told of it."""
        return TableFacts(
            version=self.table.version,
            rows=self.table.rows,
            fingerprint=self.table.info.encoder,
            width=self.table.info.width,
            by="memory" if isinstance(self.rows, RowsInMemory) else "index",
            fields=self.documents.rows.column_names if self.documents else [],
        )


def find_documents(table: Table, configured: str, of_model: str | None) -> str:
    """The data set whose fields are told: the configured one, or that of the model's lineage if the
    table is made from it; absolute, as replicas have another working directory."""
    if of_model not in (None, "none") and _fingerprint(str(of_model)) == table.info.dataset:
        return storage.absolute(str(of_model))
    return storage.absolute(configured)


def check_search(table: Table, config: SearchConfig) -> None:
    """Raises StorageError or ConfigError for what cannot be searched so, before anything is
    loaded.
    """
    if config.by == "index":
        check_index(table)
    if table.rows > config.max_rows and (config.by == "memory" or config.documents):
        what = "vectors" if config.by == "memory" else "documents"
        raise ConfigError(
            f"{table.uri}: {table.rows:,} {what} to hold in memory, but search.max_rows is "
            f"{config.max_rows:,}: build an index (medembed table index) and take search.by=index "
            "without search.documents, raise search.max_rows, or leave search to `medembed "
            "search`, whose funnel reads from storage."
        )
    if config.documents is not None:
        _check_documents(table, storage.absolute(config.documents))


def load_search(table: Table, config: SearchConfig, dimensions: Iterable[int] = ()) -> SearchTable:
    """The table, quick at full width and at these dimensions.

    Raises what `check_search` raises, and DataError for vectors that are no numbers.
    """
    check_search(table, config)
    width = table.info.width
    quick = [one for one in dimensions if one <= width]
    rows: RowsInMemory | OpenIndex = (
        OpenIndex(table) if config.by == "index" else hold(table, quick)
    )
    if isinstance(rows, OpenIndex):
        # reads it now, rather than while the first caller waits
        rows(np.eye(1, width, dtype=np.float32), 1)
    held = rows if isinstance(rows, RowsInMemory) else None
    documents = (
        Documents(storage.absolute(config.documents), config.fields, held)
        if config.documents
        else None
    )
    return SearchTable(table, rows, documents)


def hold(table: Table, dimensions: Sequence[int] = ()) -> RowsInMemory:
    """All rows of this version in memory. Raises DataError for vectors that are no numbers."""
    fragments = table.keys()
    ids = [name for keys in fragments for name in keys.ids.to_pylist()]
    try:
        return RowsInMemory(
            ids, (read_shard(shard)[1] for shard in table.shards()), table.info.width, dimensions
        )
    except DataError as error:
        raise DataError(f"{table.uri} version {table.version}: {error}") from None


def _corpus_files(uri: str) -> list[str]:
    files = read_manifest(uri, DatasetManifest).files
    return [storage.join(uri, name) for name in files if name.startswith("corpus/")]


def _fingerprint(uri: str) -> str:
    return read_manifest(uri, DatasetManifest).fingerprint


def _check_documents(table: Table, uri: str) -> None:
    """Raises StorageError if the data set is not that of the table: its texts may be others than
    were encoded.
    """
    found, made_from = _fingerprint(uri), table.info.dataset
    if made_from and found != made_from:  # a table whose record is gone names none
        raise StorageError(
            f"{uri}: data set {found}, but {table.uri} version {table.version} was made from "
            f"{made_from}; give search.documents=<that data set>, or encode this one."
        )
