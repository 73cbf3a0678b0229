"""Copy files by hash: a copy is whole, and equal to what was read."""

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.fs as pafs

from medembed import storage
from medembed.custody.items import File
from medembed.custody.kinds import Copied
from medembed.errors import StorageError
from medembed.schema import content_hash

PART = ".part"  # how the name ends of what a death has left half copied
_BLOCK = 1 << 24


class Stamp(NamedTuple):
    """What a file holds, by its hash as `schema.content_hash`, and its size."""

    hash: str
    bytes: int


class CopyTo:
    """Copy files into a folder, but for those that are there already.

    before: the copies that an earlier manifest names
    there: {name: size} of what lay there at the start, of interrupted runs too
    copies: all that this run's manifest names
    new, new_bytes: how many of them were copied now, and their size
    """

    def __init__(self, uri: str, before: Mapping[str, Copied]) -> None:
        self.uri = uri
        self.before = before
        prefix = uri.rstrip("/") + "/"
        files = storage.find_files(uri)
        self.there = {name.removeprefix(prefix): size for name, size, _ in files}
        self.copies: dict[str, Copied] = {}
        self.new = 0
        self.new_bytes = 0

    def copy(self, source: str, name: str, file: File) -> None:
        """Copy a file of this size and modification time."""
        target = storage.join(self.uri, name)
        known = self.before.get(name)
        is_there = self.there.get(name) == file.bytes
        if is_there and known and (known.bytes, known.modified) == (file.bytes, file.modified):
            stamp = Stamp(known.hash, known.bytes)
        elif not is_there or (stamp := stamp_of(source)) != stamp_of(target):
            stamp = copy_file(source, target)
            self._count(stamp.bytes)
        self.copies[name] = Copied(stamp.hash, stamp.bytes, file.modified)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of these bytes."""
        digest = content_hash(content)
        known = self.before.get(name)
        if known is None or known.hash != digest or self.there.get(name) != len(content):
            storage.write_bytes(storage.join(self.uri, name), content)
            self._count(len(content))
        self.copies[name] = Copied(digest, len(content))

    def _count(self, size: int) -> None:
        self.new += 1
        self.new_bytes += size


def stamp_of(uri: str) -> Stamp:
    """Read a file for its stamp. Raises StorageError if it is not there."""
    return _pour(uri, None)


def copy_file(source: str, target: str) -> Stamp:
    """Copy a file in blocks of 16 MiB; the target appears whole or not at all."""
    try:
        with _new_file(target) as stream:
            return _pour(source, stream)
    except OSError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"{target}: cannot write it: {reason}") from None


def _pour(source: str, stream: Any) -> Stamp:
    digest = hashlib.sha256()
    size = 0
    with storage.open_input(source) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if stream is not None:
                stream.write(block)
    return Stamp(digest.hexdigest()[:32], size)


@contextmanager
def _new_file(uri: str) -> Iterator[Any]:
    """Open a stream into a file that appears only at the end, or not at all."""
    filesystem, path = storage.open_filesystem(uri)
    is_local = isinstance(filesystem, pafs.LocalFileSystem)
    target = f"{path}.{uuid.uuid4().hex}{PART}" if is_local else path
    if is_local:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with filesystem.open_output_stream(target, compression=None) as stream:
            yield stream
        if is_local:
            os.replace(target, path)
    except BaseException:
        storage.delete_file(uri if not is_local else target)
        raise
