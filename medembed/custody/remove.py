"""Outputs removed so that a death leaves no half of one that passes for whole, and the next run finishes."""

import json

from medembed import storage
from medembed.artifact import MANIFEST

MARK = "leaving.json"  # lies in a folder while it is removed: the names of what is to go
_OURS = (MANIFEST, "summary.json")


def size_of(uri: str) -> int:
    """Bytes of all that lies below a folder."""
    return sum(size for _, size, _ in storage.find_files(uri))


def is_leaving(uri: str) -> bool:
    """Whether a run died while it removed this folder."""
    return storage.exists(storage.join(uri, MARK))


def remove_output(uri: str, files: list[str]) -> None:
    """Removes a finished output: the files of its manifest, which goes first; what others put there stays."""
    _remove(uri, [*_OURS, *files])


def remove_table(uri: str) -> None:
    """Removes an embedding table with all its versions."""
    _remove(uri, sorted(storage.list_files(uri), key=lambda name: not name.startswith("_versions/")))


def _remove(uri: str, names: list[str]) -> None:
    mark = storage.join(uri, MARK)
    if storage.exists(mark):
        names = json.loads(storage.read_bytes(mark))
    else:
        storage.write_bytes(mark, json.dumps(names).encode())
    for name in names:
        if name != MARK:
            storage.delete_file(storage.join(uri, name))
    storage.delete_file(mark)
    storage.delete_empty_folder(uri)
