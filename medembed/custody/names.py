"""Read which documents and queries a file names: by the id columns of a table, or the entries of
JSON.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds

from medembed import storage
from medembed.data.read_pass import SCHEMAS as STAGED
from medembed.errors import StorageError
from medembed.lineage import KINDS
from medembed.schema import DOCUMENT_COLUMNS, PAIR_COLUMNS, QUERY_COLUMNS

PART = re.compile(r"\.[0-9a-f]{32}\.part$")  # what a process that died has left of a write
_DOCUMENTS = DOCUMENT_COLUMNS | {"document"}
_OF_IDS = _DOCUMENTS | QUERY_COLUMNS | PAIR_COLUMNS | {"id"}
_MEASURED = frozenset({"group_id", "language", "tags", "dimension"})  # metrics follow
_LAYOUTS = (
    *chain.from_iterable(kind.layouts for kind in KINDS),
    *(frozenset(schema.names) for schema in STAGED.values()),
    frozenset({"query_id", "rank", "document_id", "row_id", "score"}),  # results of a search
)


class NamedIds(NamedTuple):
    """The ids that a row names; an id that may be of either kind is in both."""

    documents: list[str]
    queries: list[str]


def names_in(uri: str) -> Iterator[NamedIds]:
    """Yield the ids in each row of a table, or in all of a JSON file; none for other files.

    Raises StorageError for a damaged file.
    """
    rows: list[Any] = []
    with _readable(uri):
        if uri.endswith(".json"):
            rows = [json.loads(storage.read_bytes(uri))]
        elif uri.endswith((".parquet", ".arrow")):
            table = _open_table(uri)
            is_of_queries = uri.endswith("/queries.parquet") or "/queries/" in uri
            staged = {"id": "query_id" if is_of_queries else "document_id"}
            columns: dict[str, ds.Expression] = {}
            for name in _OF_IDS.intersection(table.schema.names):
                columns[staged.get(name, name)] = ds.field(name)
            rows = table.to_table(columns=columns).to_pylist() if columns else []
    for row in rows:
        names = NamedIds([], [])
        _collect(row, "", names)
        yield names


def is_ours(uri: str) -> bool:
    """Return whether a file that no manifest names is JSON, or has all the columns of a table that
    we write: other tables are somebody else's. Raises StorageError for a damaged file.
    """
    if uri.endswith(".json"):
        return True
    with _readable(uri):
        columns = frozenset(_open_table(uri).schema.names)
    return columns in _LAYOUTS or columns >= _MEASURED


def _collect(value: Any, column: str, names: NamedIds) -> None:
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


def _open_table(uri: str) -> ds.Dataset:
    filesystem, path = storage.open_filesystem(uri)
    format_name = "ipc" if uri.endswith(".arrow") else "parquet"
    return ds.dataset(path, format=format_name, filesystem=filesystem)


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    """Say in one line which file is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError):
        raise StorageError(
            "{uri}: not readable, it is damaged; mend it, or move it elsewhere.", uri=uri
        ) from None
