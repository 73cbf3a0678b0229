"""Open one version of an embedding table for searching, with the fields of its documents."""

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
from medembed.codes import Codes
from medembed.config import Config, InputUri
from medembed.encoding.index import OpenIndex, check_index
from medembed.encoding.rows import check_codes, read_rows
from medembed.encoding.table import Table
from medembed.errors import ConfigError, DataError, StorageError
from medembed.language import tr
from medembed.lineage import DatasetManifest
from medembed.search.in_memory import Coded, RowsInMemory
from serve.replica.protocol import TableFacts

DocumentField = Literal["text", "language", "label", "split", "content_hash"]


class SearchConfig(Config):
    """How the table is searched, and which fields of the documents found are given."""

    enabled: bool = Field(
        default=True,
        description="answer POST /v1/search by the table; false: it gives int8 and uint8 outputs "
        "alone",
    )
    by: Literal["memory", "index"] = Field(
        default="memory",
        description="memory: exactly, at any dimensions and by a funnel; each replica holds the "
        "table's vectors, 1.5 GB of float32 for a million rows of 384 dimensions. index: by the "
        "table's vector index, at full width alone",
    )
    codes: Codes | None = Field(
        default=None,
        description="of by=memory: hold codes of the vectors instead: int8 (1/4 of float32) or "
        "binary (1/32). Each search is a funnel then: codes nominate candidates, which rank by "
        "the table's vectors, read from storage. null: hold what the table keeps",
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

    def __init__(self, uri: str, fields: tuple[str, ...], table_ids: Sequence[str] = ()) -> None:
        """`table_ids` are the rows that `match` chooses among.

        Raises StorageError if there is no such data set, or a file of it cannot be read.
        """
        columns = ["document_id", *fields]
        files = [
            file for file in read_manifest(uri, DatasetManifest).files if file.startswith("corpus/")
        ]
        rows = pa.concat_tables(
            [storage.read_parquet(storage.join(uri, file), columns) for file in files]
        )
        self.names = list(fields)
        self.rows = rows.select(self.names)
        self.row_of = {name: row for row, name in enumerate(rows["document_id"].to_pylist())}
        # The corpus row of each row of the table; behind the end for one that the corpus lacks.
        corpus_rows = [self.row_of.get(name, len(rows)) for name in table_ids]
        self.corpus_rows = np.array(corpus_rows, dtype=np.int32)

    def read_fields(self, row_id: str) -> dict[str, Any]:
        """Return {field: value} of a row; {} for one that the data set lacks."""
        row = self.row_of.get(row_id)
        return {} if row is None else dict(self.rows.slice(row, 1).to_pylist()[0])

    def match(self, filter: Mapping[str, Sequence[str]]) -> npt.NDArray[np.bool_]:
        """Return of each row of the table whether each of these fields has one of its values.

        A row that the data set lacks does not match.
        """
        matches = np.ones(len(self.rows), dtype=bool)
        for name, values in filter.items():
            column = self.rows[name]
            matches &= pc.is_in(column, value_set=pa.array(values, type=column.type)).to_numpy()
        return np.append(matches, False)[self.corpus_rows]


@dataclass(frozen=True)
class SearchTable:
    """A version of a table that can be searched: by its rows in memory, or by its index."""

    table: Table
    rows: RowsInMemory | OpenIndex
    documents: Documents | None
    codes: Codes | None = None  # those that replace the table's vectors in memory

    def facts(self) -> TableFacts:
        """Return the table as clients see it."""
        return TableFacts(
            version=self.table.version,
            rows=self.table.rows,
            fingerprint=self.table.info.encoder,
            width=self.table.info.width,
            by="memory" if isinstance(self.rows, RowsInMemory) else "index",
            storage=self.table.info.storage,
            codes=self.codes,
            fields=self.documents.names if self.documents else [],
        )


def find_documents(table: Table, configured: str, of_model: str | None) -> str:
    """Return the data set whose fields are given.

    It is that of the model's lineage if the table was made from it, else the configured one;
    absolute, as replicas have another working directory.
    """
    if of_model not in (None, "none") and _fingerprint(str(of_model)) == table.info.dataset:
        return storage.absolute(str(of_model))
    return storage.absolute(configured)


def check_search(table: Table, config: SearchConfig) -> None:
    """Raise StorageError or ConfigError for what cannot be searched, before anything is loaded."""
    if config.by == "index":
        check_index(table)
        if config.codes is not None:
            raise ConfigError(
                "search.codes: found {codes}, but search.by=index holds no rows; leave one out.",
                codes=config.codes,
            )
    check_codes(table, config.codes)
    if table.rows > config.max_rows and (config.by == "memory" or config.documents):
        what = tr("vectors") if config.by == "memory" else tr("documents")
        raise ConfigError(
            "{table}: {rows:,} {what} to hold in memory, but search.max_rows is "
            "{max_rows:,}: build an index (medembed table index) and take search.by=index "
            "without search.documents, raise search.max_rows, or leave search to `medembed "
            "search`, whose funnel reads from storage.",
            table=table.uri,
            rows=table.rows,
            what=what,
            max_rows=config.max_rows,
        )
    made_from = table.info.dataset  # a table whose record is gone names none
    if config.documents is None:
        return
    uri = storage.absolute(config.documents)
    fingerprint = _fingerprint(uri)
    if made_from and fingerprint != made_from:  # texts may differ
        raise StorageError(
            "{uri}: data set {fingerprint}, but {table} version {version} was made from "
            "{made_from}; give search.documents=<that data set>, or encode this one.",
            uri=uri,
            fingerprint=fingerprint,
            table=table.uri,
            version=table.version,
            made_from=made_from,
        )


def load_search(table: Table, config: SearchConfig, dimensions: Iterable[int] = ()) -> SearchTable:
    """Load the table, prepared for full width and for these dimensions.

    Raises what `check_search` raises, and DataError or ModelError for vectors not finite.
    """
    check_search(table, config)
    rows: RowsInMemory | OpenIndex
    codes: Codes | None = None
    if config.by == "index":
        rows = OpenIndex(table)
        # One search reads the index now, rather than while the first caller waits.
        rows(np.eye(1, table.info.width, dtype=np.float32), 1)
    else:
        sizes = [size for size in dimensions if size <= table.info.width]
        rows = load_rows(table, sizes, config.codes)
        codes = config.codes if rows.fetch else None
    if config.documents is None:
        return SearchTable(table, rows, None, codes)
    uri = storage.absolute(config.documents)
    ids = rows.rows.ids.tolist() if isinstance(rows, RowsInMemory) else []
    return SearchTable(table, rows, Documents(uri, config.fields, ids), codes)


def load_rows(
    table: Table, dimensions: Sequence[int] = (), codes: Codes | None = None
) -> RowsInMemory:
    """Load all rows of this version into memory, as the table keeps them or as codes.

    Raises DataError or ModelError for vectors not finite.
    """
    rows = read_rows(table, codes)
    coded = Coded(rows.codes, rows.ranges, rows.fetch) if rows.codes and rows.ranges else None
    try:
        return RowsInMemory(rows.ids, rows.parts, table.info.width, dimensions, coded)
    except DataError as error:
        raise DataError(
            "{table} version {version}: {error}",
            table=table.uri,
            version=table.version,
            error=error,
        ) from None


def _fingerprint(uri: str) -> str:
    return read_manifest(uri, DatasetManifest).fingerprint
