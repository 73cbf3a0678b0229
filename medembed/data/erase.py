"""Rows taken out of a data set for good: a reader sees all the changes or none, and what is
replaced is gone afterwards.

Object stores have no rename. So a changed file gets a new name, the manifest is swapped in one
write, and then all files go that it does not name; a run after a death between the two finds them,
and removes them.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

import pyarrow as pa

from medembed import storage
from medembed.artifact import today, write_manifest
from medembed.data.dataset import Dataset, leftovers, tidy
from medembed.language import to_translate
from medembed.lineage import DatasetManifest, Erased
from medembed.privacy import show_id
from medembed.schema import content_hash, own_document

_SUFFIX = re.compile(r"-e[0-9a-f]{8}(?=\.\w+$)")
_WITH_ROWS = ("corpus", "queries", "qrels", "held_out")
IsErased = Callable[[str], bool]


def find_lost(dataset: Dataset, is_document: IsErased) -> frozenset[str]:
    """Return hashes of the queries that a data set has lost: those that its manifest remembers, and
    those whose own text, all of whose positives, or all of whose judgments are to be erased.
    """
    lost = set(dataset.manifest.erased_queries)
    left: dict[str, list[float]] = {}
    touched: dict[str, bool] = {}
    for judged in (dataset.qrels(), dataset.held_out()):
        for query_id, scores in judged.items():
            own = own_document(query_id)
            if own is not None and is_document(own):
                lost.add(hash_query(dataset.fingerprint, query_id))
            for document_id, score in scores.items():
                if is_document(document_id):
                    touched[query_id] = touched.get(query_id, False) or score > 0
                else:
                    left.setdefault(query_id, []).append(score)
    for query_id, lost_positive in touched.items():
        if not left.get(query_id) or (lost_positive and max(left[query_id]) <= 0):
            lost.add(hash_query(dataset.fingerprint, query_id))
    return frozenset(lost)


def hash_query(dataset: str, query_id: str) -> str:
    """Return the hash by which a data set remembers a query that it has lost, so that what is found
    only later loses it too.

    The hash is one way, but whoever guesses the id can confirm it. A page may name the id, or a
    hash of it: both give the same.
    """
    return content_hash(f"{dataset}\n{show_id(query_id)}")[:16]


def erase_from_dataset(
    dataset: Dataset,
    is_document: IsErased,
    is_query: IsErased,
    lost: Collection[str],
    *,
    write: bool,
) -> Counter[str]:
    """Count the rows that name a document or query to erase; `write` erases them.

    `lost` are hashes of the queries that the data set loses, as `find_lost` returns them.
    """
    erased: Counter[str] = Counter()
    files: list[str] = []  # those that are left, and below their rows
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
        after = _without(before, is_document, is_query)
        changes = Counter({folder: before.num_rows - after.num_rows})
        if folder == "queries":
            after, changes[to_translate("group names")] = _rename_groups(after, is_document)
        erased += changes
        if not after.num_rows:
            continue
        if write and +changes:
            name = _write(dataset.uri, name, after)
        files.append(name)
        rows[name] = after.num_rows
    if write and erased:
        left = Dataset(dataset.uri, replace(dataset.manifest, files=tuple(files)))
        manifest = _describe(left, rows, lost, erased.total())
        write_manifest(dataset.uri, manifest)
        tidy(Dataset(dataset.uri, manifest))
    if remains and not write:
        erased[to_translate("files that an interrupted run left")] = 1
    return erased


def _without(table: pa.Table, is_document: IsErased, is_query: IsErased) -> pa.Table:
    """Return the rows of other documents and queries."""
    if "query_id" in table.column_names:
        names = table["query_id"].to_pylist()
        table = table.filter(pa.array([not is_query(name) for name in names], pa.bool_()))
    if "document_id" in table.column_names:
        names = table["document_id"].to_pylist()
        table = table.filter(pa.array([not is_document(name) for name in names], pa.bool_()))
    return table


def _rename_groups(queries: pa.Table, is_document: IsErased) -> tuple[pa.Table, int]:
    """Rename groups that bear an erased document's id; return how many rows have one."""
    before = queries["group_id"].to_pylist()
    names = [f"erased-{content_hash(name)[:12]}" if is_document(name) else name for name in before]
    column = queries.column_names.index("group_id")
    groups = pa.array(names, pa.string())
    renamed = sum(name != old for name, old in zip(names, before, strict=True))
    return queries.set_column(column, queries.schema.field(column), groups), renamed


def _write(uri: str, name: str, table: pa.Table) -> str:
    """Write a file under a new name, and return that."""
    data = storage.parquet_bytes(table)
    stem, dot, ending = _SUFFIX.sub("", name).rpartition(".")
    new = f"{stem}-e{content_hash(data)[:8]}{dot}{ending}"
    storage.write_bytes(storage.join(uri, new), data)
    return new


def _describe(
    left: Dataset, rows: dict[str, int], lost: Collection[str], erased: int
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
        erased_queries=tuple(sorted(lost)),
    )
