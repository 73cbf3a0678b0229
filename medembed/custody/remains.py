"""Rows of tables that no version names: what runs that died have left of vectors."""

from collections import Counter
from collections.abc import Callable

from medembed import storage
from medembed.encoding.lance_dataset import files_of, lance_options, open_lance
from medembed.encoding.staging import FOLDER as STAGING
from medembed.errors import StorageError

IsWanted = Callable[[str], bool]


def erase_fragments(uri: str, is_wanted: IsWanted, *, write: bool) -> Counter[str]:
    """Counts wanted rows of a table whose first run died; `write` removes all of it, as what names
    them needs all.
    """
    counts = _count_rows(_data_files(uri), is_wanted)
    if write and counts:
        storage.delete_folder(storage.join(uri, STAGING))
        storage.delete_folder(storage.join(uri, "data"))
        storage.delete_empty_folder(uri)
    return counts


def count_uncommitted(uri: str, is_wanted: IsWanted) -> Counter[str]:
    """Counts wanted rows in files of a table that no version names: a run wrote them, and died."""
    named: set[str] = set()
    for entry in open_lance(uri).versions():
        try:
            for fragment in open_lance(uri, entry["version"]).get_fragments():
                named.update(files_of(fragment)[0].split(" "))
        except (OSError, ValueError, RuntimeError, StorageError):
            continue  # half removed by an erasure that died
    return _count_rows(
        [name for name in _data_files(uri) if name.rpartition("/")[2] not in named], is_wanted
    )


def _data_files(table: str) -> list[str]:
    return [uri for uri, _, _ in storage.find_files(storage.join(table, "data", "*.lance"))]


def _count_rows(files: list[str], is_wanted: IsWanted) -> Counter[str]:
    """Wanted rows in data files of Lance, and files that were not written to their end."""
    from lance.file import LanceFileReader

    counts = Counter[str]()
    for uri in files:
        try:
            reader = LanceFileReader(
                uri, storage_options=lance_options(uri), columns=["document_id"]
            )
            names = reader.read_all().to_table()["document_id"].to_pylist()
        except (OSError, ValueError, RuntimeError):
            counts["torn files"] += 1
        else:
            counts["rows of a run that died"] += sum(map(is_wanted, names))
    return +counts
