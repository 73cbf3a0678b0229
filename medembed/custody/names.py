"""Read which documents and queries a file names: by the id columns of a table, or the entries of
JSON.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.read_pass import SCHEMAS as STAGED
from medembed.errors import StorageError
from medembed.lineage import KINDS
from medembed.schema import DOCUMENT_COLUMNS, PAIR_COLUMNS, QUERY_COLUMNS

PART = re.compile(r"\.[0-9a-f]{32}\.part$")  # what a process that died has left of a write
_DOCUMENTS = DOCUMENT_COLUMNS | {"document"}
_OF_IDS = _DOCUMENTS | QUERY_COLUMNS | PAIR_COLUMNS
_MEASURED = frozenset({"group_id", "language", "tags", "dimension"})  # metrics follow
_LAYOUTS = (
    *chain.from_iterable(kind.layouts for kind in KINDS),
    *(frozenset(schema.names) for schema in STAGED.values()),
    frozenset({"query_id", "rank", "document_id", "row_id", "score"}),  # results of a search
)


class Names(NamedTuple):
    """Ids that one row names; those of which nobody knows are in both."""

    documents: list[str]
    queries: list[str]


def names_in(uri: str) -> Iterator[Names]:
    """Yield the ids in each row of a table, or in all of a JSON file; none for other files.

    Raises StorageError for a damaged file.
    """
    rows: list[Any] = []
    if uri.endswith(".json"):
        try:
            rows = [json.loads(storage.read_bytes(uri))]
        except ValueError:
            raise StorageError(f"{uri}: not JSON; the file is damaged.") from None
    elif uri.endswith((".parquet", ".arrow")):
        table = _read_table(uri)
        is_of_queries = uri.endswith("/queries.parquet") or "/queries/" in uri
        staged = {"id": "query_id" if is_of_queries else "document_id"}
        table = table.rename_columns([staged.get(name, name) for name in table.column_names])
        rows = table.select([name for name in table.column_names if name in _OF_IDS]).to_pylist()
    for row in rows:
        names = Names([], [])
        _collect(row, "", names)
        yield names


def is_ours(uri: str) -> bool:
    """Return whether a file that no manifest names is JSON, or has all the columns of a table that
    we write: other tables are somebody else's. Raises StorageError for a damaged file.
    """
    if uri.endswith(".json"):
        return True
    if uri.endswith(".arrow"):
        columns = frozenset(_read_table(uri).column_names)
    else:
        try:
            with storage.open_input(uri) as stream:
                columns = frozenset(pq.read_schema(stream).names)
        except (pa.ArrowException, OSError):
            raise StorageError(
                f"{uri}: not a readable Parquet file; mend it, or move it elsewhere."
            ) from None
    return columns in _LAYOUTS or columns >= _MEASURED


def _collect(value: Any, column: str, names: Names) -> None:
    """Add the ids that stand in a column, or below a key of JSON."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(entry, str) or key in _OF_IDS:
                _collect(entry, key, names)
    elif isinstance(value, list):
        for entry in value:
            _collect(entry, column, names)
    elif isinstance(value, str) and column in PAIR_COLUMNS:
        query, _, document = value.partition("\t")
        names.queries.append(query)
        names.documents.append(document)
    elif isinstance(value, str):
        if column not in QUERY_COLUMNS:
            names.documents.append(value)
        if column not in _DOCUMENTS:
            names.queries.append(value)


def _read_table(uri: str) -> pa.Table:
    if not uri.endswith(".arrow"):
        return storage.read_parquet(uri)
    try:
        return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    except pa.ArrowException:
        raise StorageError(f"{uri}: not a readable Arrow file.") from None
