"""List the files of an output, and copy files by hash: a copy is whole, and equal to what was
read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.kinds import Copied
from medembed.custody.places import files_below, read_output
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, Manifest, Source
from medembed.schema import fingerprint

_BLOCK = 1 << 24


@dataclass(frozen=True)
class OutputFiles:
    """An output with the sizes of its files by name, and the `folder` that a backup gives it.

    The folder is another for other files, so that no copy is written over.
    """

    uri: str
    folder: str
    sizes: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.sizes)


def find_output_files(kind: type[Manifest], source: Source) -> OutputFiles | None:
    """Return an output's files; None if one is gone, or cannot be read here."""
    assert source.uri
    try:
        manifest = read_output(source.uri, source.version)
        stored = files_below(source.uri)
    except StorageError:
        return None
    if isinstance(manifest, kind):
        names = {*manifest.names, *(stored.keys() & {MANIFEST})}
    elif manifest is None and kind is CheckpointManifest:  # of a model from elsewhere
        names = set(stored)
    else:
        return None
    if not names or not names <= stored.keys():
        return None
    # of another output at the same place the name is another
    name = fingerprint([source.uri, manifest.key if manifest else ""])
    sizes: dict[str, int] = {}
    changed: dict[str, int] = {}
    for file in names:
        sizes[file] = stored[file].size_bytes
        changed[file] = stored[file].written_ns
    return OutputFiles(source.uri, f"{kind.folder}/{name}-{fingerprint([sizes, changed])}", sizes)


def hash_file(uri: str) -> Copied:
    """Return a file's hash and size. Raises StorageError if it is not there."""
    with storage.open_input(uri) as file:
        digest = hashlib.file_digest(file, "sha256")
        return Copied(digest.hexdigest()[:32], file.tell())


def copy_file(source: str, target: str) -> Copied:
    """Copy a file in blocks of 16 MiB; the target appears whole or not at all."""
    digest = hashlib.sha256()
    size = 0
    try:
        with storage.open_input(source) as file, storage.open_output(target) as copy:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                copy.write(block)
    except BaseException:
        if not storage.is_local(target):
            storage.delete_file(target)  # an object store has what was written so far
        raise
    return Copied(digest.hexdigest()[:32], size)
