"""The files of a source: which there are, what their names say, and what identifies them."""

import hashlib
from collections.abc import Sequence

from medembed import storage
from medembed.errors import StorageError
from medembed.schema import fingerprint
from medembed.storage import StoredFile

# sources up to this size are known by content, larger ones by name, size and time
_HASHED_BYTES = 256 << 20


def paths_of(path: str) -> list[str]:
    """Return the paths of a list such as "[questions.csv,documents.csv]", or the one path."""
    is_list = path.startswith("[") and path.endswith("]")
    return [item.strip() for item in path[1:-1].split(",")] if is_list else [path]


def list_files(path: str) -> list[StoredFile]:
    """Return the files of a source, sorted. Raises StorageError for a path without any."""
    files: set[StoredFile] = set()
    for place in paths_of(path):
        of_place = [file for file in storage.find_files(place) if not is_hidden(file.uri, place)]
        if not of_place:
            raise StorageError("{place}: no such file.", place=place)
        files.update(of_place)
    return sorted(files)


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
