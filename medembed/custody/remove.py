"""Outputs removed so that a death leaves no half of one that passes for whole, and the next run
finishes.
"""

import json

from medembed import storage
from medembed.artifact import MANIFEST, read_any

MARK = "leaving.json"  # lies in a folder while it is removed: the names of what is to go
_BESIDE = "summary.json"  # what a job writes beside an output


def size_of(uri: str) -> int:
    """Bytes of all that lies below a folder."""
    return sum(size for _, size, _ in storage.find_files(uri))


def is_leaving(uri: str) -> bool:
    """Whether a run died while it removed this folder."""
    return storage.exists(storage.join(uri, MARK))


def remove(uri: str) -> None:
    """Removes a finished output, its manifest first, or a table, its versions first; or finishes
    such a removal.

    Of an output go the files that its manifest names; what others put there stays.
    """
    mark = storage.join(uri, MARK)
    names = json.loads(storage.read_bytes(mark)) if storage.exists(mark) else _names_of(uri)
    if not names:
        return
    storage.write_bytes(mark, json.dumps(names).encode())
    for name in names:
        storage.delete_file(storage.join(uri, name))
    storage.delete_file(mark)
    storage.delete_empty_folder(uri)


def _names_of(uri: str) -> list[str]:
    """The files of an output or a table, in the order in which they go; none where neither is there
    any more.
    """
    manifest = read_any(uri)
    if manifest is not None:
        return [MANIFEST, _BESIDE, *manifest.names]
    is_table = storage.exists(storage.join(uri, "_versions"))
    return (
        sorted(storage.list_files(uri), key=lambda name: not name.startswith("_versions/"))
        if is_table
        else []
    )
