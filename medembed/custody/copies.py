"""Files copied by hash: a copy is whole, and equal to what was read."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from medembed import storage
from medembed.errors import StorageError

PART = ".part"  # how the name ends of what a death has left half copied
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Stamp:
    """What a file holds, by its first 32 hexadecimal digits of SHA-256 (as `schema.content_hash`),
    and its size.
    """

    hash: str
    bytes: int


def stamp_of(uri: str) -> Stamp:
    """Reads a file for its stamp. Raises StorageError if it is not there."""
    return _pour(uri, None)


def copy_file(source: str, target: str) -> Stamp:
    """Copies a file in blocks of 16 MiB; the target appears whole or not at all."""
    try:
        with _new_file(target) as stream:
            return _pour(source, stream)
    except OSError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"{target}: cannot write it: {reason}") from None


def _pour(source: str, stream: Any) -> Stamp:
    digest, size = hashlib.sha256(), 0
    with storage.open_input(source) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if stream is not None:
                stream.write(block)
    return Stamp(digest.hexdigest()[:32], size)


@contextmanager
def _new_file(uri: str) -> Iterator[Any]:
    """A stream into a file: renamed into place locally; on an object store one upload, removed if
    it breaks off.
    """
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
