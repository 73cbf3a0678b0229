"""Erased ids in files that no manifest names: what an output that died has left, and results of a search.

What nobody reads again is removed if it holds one; results are written anew without it.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.custody.clean import Counts
from medembed.custody.pages import without_ids
from medembed.custody.rewrite import read_json, read_table
from medembed.custody.spots import PART, Spot
from medembed.custody.wanted import Wanted
from medembed.data.stage import SCHEMAS as STAGED
from medembed.encoding.staging import FOLDER as STAGING
from medembed.encoding.table import files_of, open_lance
from medembed.errors import StorageError
from medembed.evaluation.files import BEST
from medembed.schema import CORPUS, EXAMPLE_ROWS, EXAMPLES, HELD_OUT, QRELS, QUERIES

_RESULTS = {"query_id", "rank", "document_id", "row_id", "score"}
_MEASURED = {"id", "group_id", "language", "tags", "dimension"}
# All columns of a file tell ours from those that others put there.
_COLUMNS = [
    *(set(one.names) for one in (CORPUS, QUERIES, QRELS, HELD_OUT, EXAMPLES, EXAMPLE_ROWS, BEST, *STAGED.values())),
    {"query_id", "content_hash", "embedding", "rows", "scores", "is_whole"},  # what mining remembers
    {"document_id", "content_hash", "text", "line"},  # texts of one's own while they are encoded
    {"document_id", "embedding"}, _RESULTS,
]  # fmt: skip
_DOCUMENTS = ("document_id", "row_id", "positive_id", "negative_id", "negative_ids", "document_ids", "rows")


def clean_file(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Rows of a file, or one torn file, of which nobody can tell what it holds."""
    if not storage.exists(spot.uri):  # went with the output that it lies in
        return Counts()
    if PART.search(spot.uri):
        counts, table = Counts({"torn files": 1}), None
    elif spot.uri.endswith(".json"):
        counts, table = Counts(), None
        without_ids(read_json(spot.uri), wanted, wanted.queries_of(""), counts)
    else:
        counts, table = _clean_rows(spot.uri, wanted)
    if write and +counts and table is not None:
        storage.write_parquet(spot.uri, table)
    elif write and +counts:
        storage.delete_file(spot.uri)
    return +counts


def clean_fragments(spot: Spot, wanted: Wanted, write: bool) -> Counts:
    """Vectors of a table whose first run died: all of them, as what names them cannot do without some."""
    counts = _count_rows(_data_files(spot.uri), wanted)
    if write and counts:
        storage.delete_folder(storage.join(spot.uri, STAGING))
        storage.delete_folder(storage.join(spot.uri, "data"))
        storage.delete_empty_folder(spot.uri)
    return counts


def count_uncommitted(uri: str, wanted: Wanted) -> Counts:
    """Wanted rows in files of a table that no version names: a run wrote them, and died."""
    named: set[str] = set()
    for entry in open_lance(uri).versions():
        try:
            for fragment in open_lance(uri, entry["version"]).get_fragments():
                named.update(files_of(fragment)[0].split(" "))
        except (OSError, ValueError, RuntimeError, StorageError):
            continue  # half removed by an erasure that died
    return _count_rows([name for name in _data_files(uri) if name.rpartition("/")[2] not in named], wanted)


def _clean_rows(uri: str, wanted: Wanted) -> tuple[Counts, pa.Table | None]:
    """(the rows to remove from a file, what is left if somebody reads it); nothing of a file that is not ours."""
    columns = _columns_of(uri)
    if columns not in _COLUMNS and not columns >= _MEASURED:
        return Counts(), None
    table = read_table(uri)
    stays = [not any(gone) for gone in zip(*_find_gone(table, uri, wanted), strict=True)]
    left = table.filter(pa.array(stays, pa.bool_())) if columns == _RESULTS else None
    return Counts(rows=stays.count(False)), left


def _find_gone(table: pa.Table, uri: str, wanted: Wanted) -> Iterator[list[bool]]:
    """Of each column of ids which of its values are to go."""
    queries = wanted.queries_of("")

    def is_query(name: str) -> bool:
        wanted.met.update(wanted.queries & {name})
        return name in queries

    def is_either(name: str) -> bool:
        query, tab, document = name.rpartition("\t")
        return wanted.has_row(document) or (bool(tab) and is_query(query))

    of_queries = uri.endswith("/queries.parquet") or "/queries/" in uri
    tests = dict.fromkeys(_DOCUMENTS, wanted.has_row) | {"query_id": is_query}
    tests["id"] = is_query if of_queries else is_either
    for name in table.column_names:
        if name in tests:
            values = ([one] if isinstance(one, str) else one or [] for one in table[name].to_pylist())
            yield [any(map(tests[name], row)) for row in values]


def _columns_of(uri: str) -> set[str]:
    if uri.endswith(".arrow"):
        return set(read_table(uri).column_names)
    try:
        with storage.open_input(uri) as stream:
            return set(pq.read_schema(stream).names)
    except (pa.ArrowException, OSError):
        raise StorageError(f"{uri}: not a readable Parquet file; mend it, or move it elsewhere.") from None


def _data_files(table: str) -> list[str]:
    return [uri for uri, _, _ in storage.find_files(storage.join(table, "data", "*.lance"))]


def _count_rows(files: list[str], wanted: Wanted) -> Counts:
    """Wanted rows in data files of Lance, and files that were not written to their end."""
    from lance.file import LanceFileReader

    counts = Counts()
    for uri in files:
        try:
            reader = LanceFileReader(uri, storage_options=storage.lance_options(uri), columns=["document_id"])
            names = reader.read_all().to_table()["document_id"].to_pylist()
        except (OSError, ValueError, RuntimeError):
            counts["torn files"] += 1
        else:
            counts["rows of a run that died"] += sum(map(wanted.has_row, names))
    return +counts
