"""Which documents and queries a file names: by columns of a table, entries of JSON, or texts of a
page.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.custody.pages import texts_of
from medembed.data.read_pass import SCHEMAS as STAGED
from medembed.errors import StorageError
from medembed.evaluation.files import BEST
from medembed.schema import (
    CORPUS,
    DOCUMENT_COLUMNS,
    EXAMPLE_ROWS,
    EXAMPLES,
    HELD_OUT,
    PAIR_COLUMNS,
    QRELS,
    QUERIES,
    QUERY_COLUMNS,
)

_MEASURED = {"group_id", "language", "tags", "dimension"}
# All columns of a file tell ours from those that others put there.
_LAYOUTS: list[set[str]] = [
    *(
        set(one.names)
        for one in (
            CORPUS,
            QUERIES,
            QRELS,
            HELD_OUT,
            EXAMPLES,
            EXAMPLE_ROWS,
            BEST,
            *STAGED.values(),
        )
    ),
    # what mining remembers
    {"query_id", "content_hash", "embedding", "rows", "scores", "is_whole"},
    {"document_id", "content_hash", "text", "line"},  # texts of one's own while they are encoded
    {"query_id", "rank", "document_id", "row_id", "score"},  # results of a search
    {"document_id", "embedding"},
]


class Names(NamedTuple):
    """Ids that one row or entry names; those of which nobody knows are in both."""

    documents: list[str]
    queries: list[str]


def names_in(uri: str) -> Iterator[Names]:
    """The ids in each row of a table, each entry of JSON; none for files of other kinds. Raises
    StorageError.
    """
    if uri.endswith(".json"):
        yield from _entries(read_json(uri))
    elif uri.endswith((".parquet", ".arrow")):
        yield from _rows(uri)


def is_ours(uri: str) -> bool:
    """Whether a table that no manifest names has columns as we write them. Raises StorageError if
    it is damaged.
    """
    columns = _columns_of(uri)
    return columns in _LAYOUTS or columns >= _MEASURED


def queries_in(uri: str) -> Iterator[str]:
    """Ids of queries that a file names, or may name."""
    if uri.endswith(".html"):
        yield from texts_of(storage.read_bytes(uri))
    for names in names_in(uri):
        yield from names.queries


def read_json(uri: str) -> Any:
    """What a JSON file holds. Raises StorageError if it is damaged."""
    try:
        return json.loads(storage.read_bytes(uri))
    except ValueError:
        raise StorageError(f"{uri}: not JSON; the file is damaged.") from None


def _rows(uri: str) -> Iterator[Names]:
    table = _read_table(uri)
    # staged rows have a column `id`
    of_queries = uri.endswith("/queries.parquet") or "/queries/" in uri
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
            else:
                (names.documents if is_document else names.queries).extend(ids)
    yield from rows


def _entries(value: Any) -> Iterator[Names]:
    """Of JSON: the ids among the entries of each object, and each text in a list, which may be an
    id.
    """
    if isinstance(value, dict):
        named = {name: entry for name, entry in value.items() if isinstance(entry, str)}
        documents = [
            entry for name, entry in named.items() if name in DOCUMENT_COLUMNS or name == "document"
        ]
        yield Names(documents, [entry for name, entry in named.items() if name in QUERY_COLUMNS])
        for entry in value.values():
            yield from _entries(entry)
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, str):
                yield Names([entry], [entry])
            else:
                yield from _entries(entry)


def _columns_of(uri: str) -> set[str]:
    if uri.endswith(".arrow"):
        return set(_read_table(uri).column_names)
    try:
        with storage.open_input(uri) as stream:
            return set(pq.read_schema(stream).names)
    except (pa.ArrowException, OSError):
        raise StorageError(
            f"{uri}: not a readable Parquet file; mend it, or move it elsewhere."
        ) from None


def _read_table(uri: str) -> pa.Table:
    """A Parquet or Arrow file. Raises StorageError if it is damaged."""
    if not uri.endswith(".arrow"):
        return storage.read_parquet(uri)
    try:
        return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    except pa.ArrowException:
        raise StorageError(f"{uri}: not a readable Arrow file.") from None
