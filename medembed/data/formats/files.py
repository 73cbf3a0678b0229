"""The files of a source: which there are, what their names say, and what identifies them."""

import hashlib
from collections.abc import Sequence

from medembed import storage
from medembed.errors import StorageError
from medembed.schema import fingerprint
from medembed.storage import StoredFile

# sources up to this size are known by content, larger ones by name, size and time
_HASHED_BYTES = 256 << 20


def list_files(path: str) -> list[StoredFile]:
    """Return the files of a source, sorted. Raises StorageError for none."""
    files = [file for file in storage.find_files(path) if not is_hidden(file.uri, path)]
    if not files:
        raise StorageError(f"{path}: no such file.")
    return files


def is_hidden(uri: str, path: str) -> bool:
    """Return whether a file in a folder is of the tools that wrote it, such as .DS_Store."""
    inside = uri.removeprefix(path.rstrip("/")) if uri.startswith(path) else ""
    return any(step.startswith((".", "_")) for step in inside.split("/"))


def is_gzip(uri: str) -> bool:
    """Return whether a file is compressed by gzip, by its name."""
    return uri.lower().endswith(".gz")


def unpacked_name(uri: str) -> str:
    """Return the name of a file without its folder, and without .gz."""
    name = uri.rpartition("/")[2]
    return name[:-3] if is_gzip(name) else name


def ending(uri: str) -> str:
    """Return what a file's name ends with, such as ".csv" of "a.CSV.gz"; "" for no ending."""
    name = unpacked_name(uri)
    return name[name.rfind(".") :].lower() if "." in name else ""


def identify(files: Sequence[StoredFile], path: str) -> str:
    """Return the fingerprint of a source's files.

    It covers their names too: qrels/dev.tsv and qrels/test.tsv mean different things.
    """
    if sum(file.size_bytes for file in files) <= _HASHED_BYTES:
        return fingerprint([[file.uri.removeprefix(path), hash_file(file.uri)] for file in files])
    return fingerprint([list(file) for file in files])


def hash_file(uri: str) -> str:
    """Return the content hash of a file (`schema.content_hash`), read in blocks."""
    digest = hashlib.sha256()
    with storage.open_input(uri) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]
