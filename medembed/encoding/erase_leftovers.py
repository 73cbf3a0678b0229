"""Rows taken out of an embedding table, those too that runs which died have left in files that no
version names.
"""

from collections import Counter
from collections.abc import Callable, Collection

from medembed import storage
from medembed.encoding.erase import erase_rows, find_erasable
from medembed.encoding.lance_dataset import lance_options
from medembed.encoding.staging import FOLDER as STAGING
from medembed.encoding.table import Table
from medembed.language import to_translate

IsErased = Callable[[str], bool]


def erase_from_table(
    uri: str, is_erased: IsErased, prepare: Callable[[Table], None], *, write: bool
) -> Counter[str]:
    """Count the rows in any version of a table; `write` erases them and all older versions.
    `prepare` is given the only version that will be left.
    """
    erasable = find_erasable(uri, is_erased)
    counts = _count_left(uri, erasable.files, is_erased)
    counts[to_translate("rows")] = len(erasable.rows)
    counts[to_translate("old versions half removed")] = int(erasable.is_torn)
    if write:
        erase_rows(uri, erasable.rows, prepare)
    return +counts


def erase_fragments(uri: str, is_erased: IsErased, *, write: bool) -> Counter[str]:
    """Count rows of a table whose first run died; `write` removes all of it."""
    counts = _count_left(uri, (), is_erased)
    if write and counts:
        storage.delete_folder(storage.join(uri, STAGING))
        storage.delete_folder(storage.join(uri, "data"))
        storage.delete_empty_folder(uri)
    return counts


def _count_left(table: str, named: Collection[str], is_erased: IsErased) -> Counter[str]:
    """Count rows in data files that no version has `named`, and files that were not written to
    their end.
    """
    from lance.file import LanceFileReader

    counts = Counter[str]()
    for file in storage.find_files(storage.join(table, "data", "*.lance")):
        if file.uri.rpartition("/")[2] in named:
            continue
        options = lance_options(file.uri)
        try:
            reader = LanceFileReader(file.uri, storage_options=options, columns=["document_id"])
            ids = reader.read_all().to_table()["document_id"].to_pylist()
        except (OSError, ValueError, RuntimeError):
            counts[to_translate("torn files")] += 1
        else:
            counts[to_translate("rows of a run that died")] += sum(map(is_erased, ids))
    return +counts
