"""Erase rows of embedding tables, those too that runs which died have left in files that no version
names.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from medembed import storage
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.lance_dataset import lance_options
from medembed.encoding.staging import FOLDER as STAGING
from medembed.encoding.table import Table

IsErased = Callable[[str], bool]


def erase_from_table(
    uri: str, is_erased: IsErased, prepare: Callable[[Table], None], *, write: bool
) -> Counter[str]:
    """Count the rows in any version of a table; `write` erases them and all older versions.
    `prepare` is given the only version that will be left.
    """
    erasable = find_erasable(uri, is_erased)
    names = [name for name in _data_files(uri) if name.rpartition("/")[2] not in erasable.files]
    counts = _count_rows(names, is_erased)
    counts["rows"] = len(erasable.rows)
    counts["old versions half removed"] = int(erasable.is_torn)
    if write:
        erase_rows(uri, erasable.rows, prepare)
    return +counts


def erase_fragments(uri: str, is_erased: IsErased, *, write: bool) -> Counter[str]:
    """Count rows of a table whose first run died; `write` removes all of it."""
    counts = _count_rows(_data_files(uri), is_erased)
    if write and counts:
        storage.delete_folder(storage.join(uri, STAGING))
        storage.delete_folder(storage.join(uri, "data"))
        storage.delete_empty_folder(uri)
    return counts


def _data_files(table: str) -> list[str]:
    return [uri for uri, _, _ in storage.find_files(storage.join(table, "data", "*.lance"))]


def _count_rows(files: Iterable[str], is_erased: IsErased) -> Counter[str]:
    """Count rows in data files of Lance, and files that were not written to their end."""
    from lance.file import LanceFileReader

    counts = Counter[str]()
    for uri in files:
        options = lance_options(uri)
        try:
            reader = LanceFileReader(uri, storage_options=options, columns=["document_id"])
            rows = reader.read_all().to_table()
        except (OSError, ValueError, RuntimeError):
            counts["torn files"] += 1
        else:
            counts["rows of a run that died"] += sum(
                map(is_erased, rows["document_id"].to_pylist())
            )
    return +counts
