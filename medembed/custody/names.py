"""Read which documents and queries a file names: by the id columns of a table, or the entries of
JSON.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.custody.kinds import KINDS
from medembed.data.read_pass import SCHEMAS as STAGED
from medembed.errors import StorageError
from medembed.schema import DOCUMENT_COLUMNS, PAIR_COLUMNS, QUERY_COLUMNS

_MEASURED = frozenset({"group_id", "language", "tags", "dimension"})  # metrics follow
_OF_NO_KIND = (
    *(frozenset(schema.names) for schema in STAGED.values()),
    frozenset({"document_id", "content_hash", "text", "line"}),  # texts while they are encoded
    frozenset({"query_id", "rank", "document_id", "row_id", "score"}),  # results of a search
)


class Names(NamedTuple):
    """Ids that one row or entry names; those of which nobody knows are in both."""

    documents: list[str]
    queries: list[str]


def names_in(uri: str) -> Iterator[Names]:
    """Yield the ids in each row of a table, each entry of JSON; none for files of other kinds.
    Raises StorageError for a damaged file.
    """
    if uri.endswith(".json"):
        yield from _entries(_read_json(uri))
    elif uri.endswith((".parquet", ".arrow")):
        # staged rows have a column `id`
        of_queries = uri.endswith("/queries.parquet") or "/queries/" in uri
        yield from _rows(_read_table(uri), of_queries)


def is_ours(uri: str) -> bool:
    """Return whether a file that no manifest names is JSON, or has all the columns of a table that
    we write: other tables are somebody else's. Raises StorageError for a damaged file.
    """
    if uri.endswith(".json"):
        return True
    columns = _columns_of(uri)
    is_of_kind = any(columns in kind.layouts for kind in KINDS)
    return is_of_kind or columns in _OF_NO_KIND or columns >= _MEASURED


def _rows(table: pa.Table, of_queries: bool) -> Iterator[Names]:
    rows = [Names([], []) for _ in range(table.num_rows)]
    for column in table.column_names:
        is_document = column in DOCUMENT_COLUMNS or (column == "id" and not of_queries)
        is_query = column in QUERY_COLUMNS or (column == "id" and of_queries)
        if not (is_document or is_query or column in PAIR_COLUMNS):
            continue
        for names, value in zip(rows, table[column].to_pylist(), strict=True):
            ids = [value] if isinstance(value, str) else value or []
            if column in PAIR_COLUMNS:
                query, _, document = value.partition("\t")
                names.queries.append(query)
                names.documents.append(document)
            elif is_document:
                names.documents.extend(ids)
            else:
                names.queries.extend(ids)
    yield from rows


def _entries(value: Any) -> Iterator[Names]:
    """Yield the ids of each object, and each text in a list, which may be an id."""
    if isinstance(value, dict):
        names = Names([], [])
        for name, entry in value.items():
            if not isinstance(entry, str):
                yield from _entries(entry)
            elif name in DOCUMENT_COLUMNS or name == "document":
                names.documents.append(entry)
            elif name in QUERY_COLUMNS:
                names.queries.append(entry)
        yield names
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, str):
                yield Names([entry], [entry])
            else:
                yield from _entries(entry)


def _read_json(uri: str) -> Any:
    try:
        return json.loads(storage.read_bytes(uri))
    except ValueError:
        raise StorageError(f"{uri}: not JSON; the file is damaged.") from None


def _columns_of(uri: str) -> frozenset[str]:
    if uri.endswith(".arrow"):
        return frozenset(_read_table(uri).column_names)
    try:
        with storage.open_input(uri) as stream:
            return frozenset(pq.read_schema(stream).names)
    except (pa.ArrowException, OSError):
        raise StorageError(
            f"{uri}: not a readable Parquet file; mend it, or move it elsewhere."
        ) from None


def _read_table(uri: str) -> pa.Table:
    if not uri.endswith(".arrow"):
        return storage.read_parquet(uri)
    try:
        return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    except pa.ArrowException:
        raise StorageError(f"{uri}: not a readable Arrow file.") from None
