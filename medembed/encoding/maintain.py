"""The versions of an embedding table: list them, go back to one, tidy up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from medembed import storage
from medembed.encoding.commit import commit_table, show, tag_version
from medembed.encoding.index import VectorIndex, find_index
from medembed.encoding.lance_dataset import explained, open_lance
from medembed.encoding.open_table import open_table
from medembed.encoding.staging import FOLDER
from medembed.encoding.table import Table, find_table
from medembed.language import tr

ROWS_PER_FRAGMENT = 65_536  # a worker reads one whole: 0.1 GB at 384 dimensions


@dataclass(frozen=True)
class TableVersion:
    """One version: its origin, size, time, tags, and its vector index if any."""

    version: int
    dataset: str
    encoder: str
    rows: int
    fragments: int
    made: datetime
    tags: tuple[str, ...]
    index: VectorIndex | None
    is_unseen: bool


def list_versions(uri: str) -> list[TableVersion]:
    """Return all versions that are kept, oldest first."""
    newest = open_table(uri)
    dataset = open_lance(newest.uri, newest.version)
    tags: dict[int, list[str]] = {}
    for name, entry in dataset.tags.list().items():
        tags.setdefault(entry["version"], []).append(name)
    versions = []
    for entry in dataset.versions():
        table = open_table(uri, entry["version"])
        named = tuple(sorted(tags.get(table.version, [])))
        versions.append(
            TableVersion(
                table.version,
                table.info.dataset,
                table.info.encoder,
                table.rows,
                int(entry["metadata"]["total_fragments"]),
                entry["timestamp"],
                named,
                find_index(table),
                table.is_unseen,
            )
        )
    return versions


def rollback(uri: str, version: int | str) -> Table:
    """Make a new version that is what `version` (a number or tag) was; those between stay readable.

    Raises StorageError if there is no such version.
    """
    old = open_table(uri, version)
    with explained(uri, tr("cannot roll back")):
        open_lance(old.uri, old.version).restore()
    last = find_table(uri)
    assert last is not None
    return show(last)


def settle(uri: str) -> Table:
    """Make the newest version the last one, and return it; unseen ones stay behind it."""
    newest = open_table(uri)
    return newest if newest == find_table(uri) else rollback(uri, newest.version)


class Compacted(NamedTuple):
    """A table after `compact`, and what was removed and added."""

    table: Table
    counts: dict[str, int]


def compact(uri: str, keep_days: float) -> Compacted:
    """Join small fragments, drop deleted rows and old versions.

    Rows and vectors stay the same, and so does what a vector index covers; the tag of data set and
    encoder moves to the new version. Let no run write to the table meanwhile: what it has not
    committed is removed.
    """
    before = settle(uri)
    dataset = open_lance(uri, before.version)
    with explained(uri, tr("cannot compact")):
        metrics = dataset.optimize.compact_files(target_rows_per_fragment=ROWS_PER_FRAGMENT)
    # Names the data set again, before older versions go; and moves the tag, which would keep what
    # was joined.
    after = open_table(uri)
    tag_version(commit_table(uri, [], after.info, base=after))
    storage.delete_folder(storage.join(uri, FOLDER))  # before the fragments that its records name
    dataset = open_lance(uri, None)
    with explained(uri, tr("cannot remove old versions")):
        removed = dataset.cleanup_old_versions(
            older_than=timedelta(days=keep_days),
            delete_unverified=True,
            error_if_tagged_old_versions=False,
        )
    counts = {
        "fragments_removed": int(metrics.fragments_removed),
        "fragments_added": int(metrics.fragments_added),
        "versions_removed": int(removed.old_versions),
        "bytes_removed": int(removed.bytes_removed),
    }
    return Compacted(open_table(uri), counts)
