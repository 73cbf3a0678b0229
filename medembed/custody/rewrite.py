"""Erased rows taken out of a data set: a reader sees all the changes or none, and what is replaced
is gone afterwards.

Object stores have no rename. So a changed file gets a new name, the manifest is swapped in one
write, and then all files go that it does not name; a run after a death between the two finds them,
and removes them.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa

from medembed import storage
from medembed.artifact import write_manifest
from medembed.custody.erasure_request import Wanted
from medembed.custody.pages import today
from medembed.data.dataset import Dataset, leftovers, tidy
from medembed.lineage import DatasetManifest, Erased
from medembed.privacy import show_id
from medembed.schema import content_hash, document_of

_SUFFIX = re.compile(r"-e[0-9a-f]{8}(?=\.\w+$)")
_WITH_ROWS = ("corpus", "queries", "qrels", "held_out")


@dataclass
class _Changes:
    """What erasing changes: counts of rows by folder, of queries by split, and the files that come
    in place of others.

    `renamed` {file: the file in its place}, None for one that has no row left; `rows` {new file:
    its rows}.
    """

    counts: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    documents: set[str] = field(default_factory=set)
    renamed: dict[str, str | None] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def erase_from_dataset(dataset: Dataset, wanted: Wanted, *, write: bool) -> Counter[str]:
    """Counts documents, judgments of them, and queries that are named or left without a positive;
    `write` erases.
    """
    left = leftovers(dataset)
    if write and left:
        tidy(dataset)
    changes = _Changes()
    for name in dataset.manifest.files:
        folder = name.partition("/")[0]
        if folder not in _WITH_ROWS:
            continue
        before, seen = storage.read_parquet(storage.join(dataset.uri, name)), changes.counts.total()
        after = _change(folder, before, dataset.fingerprint, wanted, changes)
        changes.counts[folder] += before.num_rows - after.num_rows
        if write and changes.counts.total() != seen:
            _write(dataset.uri, name, after, changes)
    if changes.renamed:
        manifest = _describe(dataset.manifest, wanted, changes)
        write_manifest(dataset.uri, manifest)
        tidy(Dataset(dataset.uri, manifest))
    if not write and left:
        changes.counts["files that an interrupted run left"] += 1
    return +changes.counts


def _change(
    folder: str, table: pa.Table, dataset: str, wanted: Wanted, changes: _Changes
) -> pa.Table:
    """The rows that stay; a group that bears an erased document's id gets another name."""
    if folder == "corpus":
        new = wanted.without_rows(table)
        gone = map(document_of, table["document_id"].to_pylist())
        changes.documents |= set(gone).difference(map(document_of, new["document_id"].to_pylist()))
        return new
    table_left = wanted.without_queries(table, dataset)
    if folder != "queries":
        return wanted.without_rows(table_left)
    changes.splits += Counter(table["split"].to_pylist()) - Counter(table_left["split"].to_pylist())
    names = table_left["group_id"].to_pylist()
    renamed = [wanted.group(name) for name in names]
    changes.counts["group names"] += sum(
        one != other for one, other in zip(names, renamed, strict=True)
    )
    place = table_left.column_names.index("group_id")
    return table_left.set_column(
        place, table_left.schema.field(place), pa.array(renamed, pa.string())
    )


def _write(uri: str, name: str, table: pa.Table, changes: _Changes) -> None:
    if table.num_rows == 0:
        changes.renamed[name] = None
        return
    data = storage.parquet_bytes(table)
    stem, dot, ending = _SUFFIX.sub("", name).rpartition(".")
    new = f"{stem}-e{content_hash(data)[:8]}{dot}{ending}"
    storage.write_bytes(storage.join(uri, new), data)
    changes.renamed[name] = new
    changes.rows[new] = table.num_rows


def _describe(manifest: DatasetManifest, wanted: Wanted, changes: _Changes) -> DatasetManifest:
    """What the manifest says afterwards."""
    counts, renamed = changes.counts, changes.renamed
    less = {"queries": counts["queries"], "judgments": counts["qrels"], "chunks": counts["corpus"]}
    less["documents"] = len(changes.documents)
    files = [renamed.get(name, name) for name in manifest.files]
    rows = {renamed.get(name, name): count for name, count in manifest.rows.items()}
    rows |= {name: count for name, count in changes.rows.items() if name in rows}
    before = manifest.erased.rows if manifest.erased else 0
    lost = wanted.queries_of(manifest.fingerprint) - wanted.queries
    hashes = {_hash(manifest.fingerprint, name) for name in lost}
    return replace(
        manifest,
        files=tuple(name for name in files if name),
        rows={name: count for name, count in rows.items() if name},
        counts={name: count - less.get(name, 0) for name, count in manifest.counts.items()},
        splits={name: count - changes.splits[name] for name, count in manifest.splits.items()},
        held_out=manifest.held_out - counts["held_out"],
        erased=Erased(before + counts.total(), today()),
        erased_queries=tuple(sorted(hashes.union(manifest.erased_queries))),
    )


def _hash(dataset: str, query_id: str) -> str:
    """By which a data set remembers a query that it has lost, so that what is found only later
    loses it too.

    The hash is one way, but whoever guesses the id can confirm it. A page may name the id, or a
    hash of it.
    """
    return content_hash(f"{dataset}\n{show_id(query_id)}")[:16]


def recall_lost(
    datasets: Iterable[DatasetManifest], named: Iterable[str]
) -> dict[str, frozenset[str]]:
    """{fingerprint of a data set: queries that it has lost, of those that something names
    still}.
    """
    names = set(named)
    lost: dict[str, frozenset[str]] = {}
    for manifest in datasets:
        hashes = frozenset(manifest.erased_queries)
        again = {name for name in names if hashes and _hash(manifest.fingerprint, name) in hashes}
        lost[manifest.fingerprint] = lost.get(manifest.fingerprint, frozenset()) | again
    return lost
