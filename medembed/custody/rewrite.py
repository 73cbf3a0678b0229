"""Take erased rows out of a data set: a reader sees all the changes or none, and what is replaced
is gone afterwards.

Object stores have no rename. So a changed file gets a new name, the manifest is swapped in one
write, and then all files go that it does not name; a run after a death between the two finds them,
and removes them.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from medembed import storage
from medembed.artifact import write_manifest
from medembed.custody.erasure_request import ErasureRequest
from medembed.custody.pages import today
from medembed.data.dataset import Dataset, leftovers, tidy
from medembed.lineage import DatasetManifest, Erased
from medembed.schema import content_hash

_SUFFIX = re.compile(r"-e[0-9a-f]{8}(?=\.\w+$)")
_WITH_ROWS = ("corpus", "queries", "qrels", "held_out")


def erase_from_dataset(dataset: Dataset, request: ErasureRequest, *, write: bool) -> Counter[str]:
    """Count the rows of a data set that name what is erased; `write` erases them."""
    erased: Counter[str] = Counter()
    files: list[str] = []  # of what is left, and below their rows
    rows: dict[str, int] = {}
    remains = leftovers(dataset)
    if remains and write:
        tidy(dataset)
    for name in dataset.manifest.files:
        folder = name.partition("/")[0]
        if folder not in _WITH_ROWS:
            files.append(name)
            continue
        before = storage.read_parquet(storage.join(dataset.uri, name))
        after = _without(before, folder, dataset.fingerprint, request)
        changes = Counter({folder: before.num_rows - after.num_rows})
        if folder == "queries":
            after, changes["group names"] = _rename_groups(after, request)
        erased += changes
        if write and +changes and after.num_rows:
            name = _write(dataset.uri, name, after)
        if after.num_rows:
            files.append(name)
            rows[name] = after.num_rows
    if write and erased:
        left = Dataset(dataset.uri, replace(dataset.manifest, files=tuple(files)))
        manifest = _describe(left, rows, request, erased.total())
        write_manifest(dataset.uri, manifest)
        tidy(Dataset(dataset.uri, manifest))
    if remains and not write:
        erased["files that an interrupted run left"] = 1
    return erased


def _without(table: pa.Table, folder: str, dataset: str, request: ErasureRequest) -> pa.Table:
    """Return the rows of other documents and queries."""
    if folder != "corpus":
        table = _drop(table, "query_id", lambda name: request.has_query(name, dataset))
    return table if folder == "queries" else _drop(table, "document_id", request.has_row)


def _drop(table: pa.Table, column: str, is_erased: Callable[[str], bool]) -> pa.Table:
    keep = [not is_erased(name) for name in table[column].to_pylist()]
    return table.filter(pa.array(keep, pa.bool_()))


def _rename_groups(queries: pa.Table, request: ErasureRequest) -> tuple[pa.Table, int]:
    """Rename groups that bear an erased document's id; return how many rows have one."""
    names = []
    renamed = 0
    for name in queries["group_id"].to_pylist():
        if request.has_row(name):
            name = f"erased-{content_hash(name)[:12]}"
            renamed += 1
        names.append(name)
    column = queries.column_names.index("group_id")
    groups = pa.array(names, pa.string())
    return queries.set_column(column, queries.schema.field(column), groups), renamed


def _write(uri: str, name: str, table: pa.Table) -> str:
    """Write a file under a new name, and return that."""
    data = storage.parquet_bytes(table)
    stem, dot, ending = _SUFFIX.sub("", name).rpartition(".")
    new = f"{stem}-e{content_hash(data)[:8]}{dot}{ending}"
    storage.write_bytes(storage.join(uri, new), data)
    return new


def _describe(
    left: Dataset, rows: dict[str, int], request: ErasureRequest, erased: int
) -> DatasetManifest:
    """Return what the manifest says of what is left."""
    before = left.manifest
    of_folder: Counter[str] = Counter()
    for name, count in rows.items():
        of_folder[name.partition("/")[0]] += count
    counts = {
        "documents": len(left.document_ids()),
        "queries": of_folder["queries"],
        "judgments": of_folder["qrels"],
        "chunks": of_folder["corpus"],
    }
    splits = Counter(left.queries()["split"].to_pylist())
    erased += before.erased.rows if before.erased else 0
    return replace(
        before,
        rows={
            name: count for name, count in rows.items() if name.startswith(("corpus/", "queries/"))
        },
        counts={name: counts.get(name, count) for name, count in before.counts.items()},
        splits={name: splits[name] for name in before.splits},
        held_out=of_folder["held_out"],
        erased=Erased(erased, today()),
        erased_queries=tuple(sorted(request.lost[left.fingerprint])),
    )
