"""Erase rows of an embedding table: no version, data file or index has their vectors any more."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from medembed import storage
from medembed.encoding.commit import commit_table, tag_version
from medembed.encoding.index import drop_index
from medembed.encoding.lance_dataset import explained, files_of, open_lance
from medembed.encoding.maintain import ROWS_PER_FRAGMENT, settle
from medembed.encoding.open_table import open_table
from medembed.encoding.staging import FOLDER
from medembed.encoding.table import Table
from medembed.errors import StorageError
from medembed.language import tr


@dataclass(frozen=True)
class Erasable:
    """Ids of rows to erase; `files` are the names of all data files of its versions. `is_torn`: an
    erasure died while it removed old versions, whose rows cannot be told.
    """

    rows: set[str]
    files: set[str]
    is_torn: bool


def find_erasable(uri: str, is_wanted: Callable[[str], bool]) -> Erasable:
    """Return the wanted rows in any version of a table, deleted ones in its files included.

    Raises StorageError if the newest version cannot be read.
    """
    wanted: set[str] = set()
    read: set[str] = set()
    is_torn = False
    dataset = open_lance(uri)
    for entry in dataset.versions():
        try:
            for fragment in open_lance(uri, entry["version"]).get_fragments():
                files = files_of(fragment).data
                if files not in read:  # the same file has the same rows
                    rows = fragment.scanner(
                        columns=["document_id"], with_row_id=True, include_deleted_rows=True
                    )
                    wanted.update(filter(is_wanted, rows.to_table()["document_id"].to_pylist()))
                    read.add(files)
        except (OSError, ValueError, RuntimeError, StorageError):
            if entry["version"] == dataset.version:
                raise StorageError(
                    "{uri}: its newest version cannot be read; restore it from a backup.", uri=uri
                ) from None
            is_torn = True
    return Erasable(wanted, set(" ".join(read).split(" ")), is_torn)


def erase_rows(uri: str, row_ids: Collection[str], prepare: Callable[[Table], None]) -> Table:
    """Erase these rows; return the only version that is left, which `prepare` is given first.

    A vector index goes with them: build it anew. Interrupted, the same call finishes. Let no run
    write to the table meanwhile: what it has not committed is removed. Raises StorageError.
    """
    table = settle(uri)
    if drop_index(table):
        table = open_table(uri)
    wanted = set(row_ids)
    dead: list[tuple[int, list[str]]] = []
    for number, keys in enumerate(table.keys()):
        ids = sorted(wanted.intersection(keys.ids.to_pylist()))
        if ids:
            dead.append((number, ids))
    if dead:
        table = commit_table(uri, [], table.info, base=table, dead=dead)
    with explained(uri, tr("cannot rewrite files that have deleted rows")):
        optimize = open_lance(uri, table.version).optimize
        optimize.compact_files(
            target_rows_per_fragment=ROWS_PER_FRAGMENT, materialize_deletions_threshold=0.0
        )
    after = open_table(uri)
    # names the data set, which versions that go have named
    last = commit_table(uri, [], after.info, base=after)
    prepare(last)
    _forget_others(last)
    return last


def _forget_others(table: Table) -> None:
    """Remove all other versions, their tags and files, and what runs that died have left."""
    storage.delete_folder(storage.join(table.uri, FOLDER))
    dataset = open_lance(table.uri, None)
    with explained(table.uri, tr("cannot remove old versions")):
        for name, entry in dataset.tags.list().items():
            if entry["version"] != table.version:
                dataset.tags.delete(name)
    tag_version(table)
    dataset = open_lance(table.uri, None)
    with explained(table.uri, tr("cannot remove old versions")):
        dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
