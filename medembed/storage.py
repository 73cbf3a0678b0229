"""Files by URI: a local path, s3://, gs://, or package:// for what an installed Python package
carries.

Credentials come from the usual environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...,
GOOGLE_APPLICATION_CREDENTIALS), which pyarrow and MLflow's artifact stores read as it is.
"""

import hashlib
import importlib.util
import io
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from medembed.errors import StorageError, first_line
from medembed.language import tr
from medembed.privacy import own_folder

REMOTE = ("s3", "gs")


def scheme(uri: str) -> str:
    """Return the URI's scheme, "file" for a plain path."""
    if uri.startswith("models:/"):
        return "models"
    return urlparse(uri).scheme if "://" in uri else "file"


def is_local(uri: str) -> bool:
    """Return whether the URI names a disk of this node, so that another node may not see it."""
    return scheme(uri) == "file"


def join(uri: str, *names: str) -> str:
    """Return the URI of something below `uri`.

    Names come from manifests too, which another may have written: one that leads out of `uri` is a
    StorageError.
    """
    for name in names:
        if ".." in name.split("/") or "\0" in name:
            raise StorageError(
                "{uri}: found the name {name!r}, which leads out of this folder; expected one "
                "below it. What names it was damaged or forged: do not use it.",
                uri=uri,
                name=name,
            )
    return "/".join([uri.rstrip("/"), *names])


def absolute(uri: str) -> str:
    """Return a local path made absolute, as a worker elsewhere needs it; other URIs unchanged."""
    return str(local_path(uri)) if is_local(uri) else uri


def local_path(uri: str) -> Path:
    """Return the path behind a local or package URI. Raises StorageError without the package."""
    if scheme(uri) == "package":
        package, _, inside = uri.removeprefix("package://").partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise StorageError(
                "{uri}: Python package {package!r} is not installed here; install it on every "
                "node.",
                uri=uri,
                package=package,
            )
        return Path(spec.submodule_search_locations[0]) / inside
    return Path(os.path.abspath(os.path.expanduser(uri.removeprefix("file://"))))


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return (pyarrow file system, path in it). Raises StorageError for an unknown scheme."""
    if scheme(uri) in ("file", "package"):
        return pafs.LocalFileSystem(), str(local_path(uri))
    if scheme(uri) in ("http", "https"):
        raise StorageError("{uri}: a web address; {advice}", uri=uri, advice=_explain_web(uri))
    if scheme(uri) not in REMOTE:
        raise StorageError(
            "{uri}: unknown scheme; expected a path, s3://, gs:// or package://.", uri=uri
        )
    with _explained(uri, tr("cannot reach it")):
        return pafs.FileSystem.from_uri(uri)


def exists(uri: str) -> bool:
    """Return whether a file or folder is there."""
    filesystem, path = open_filesystem(uri)
    with _explained(uri, tr("cannot reach it")):
        return bool(filesystem.get_file_info(path).type != pafs.FileType.NotFound)


class StoredFile(NamedTuple):
    """A file on storage, its bytes and the time of its last change."""

    uri: str
    size_bytes: int
    written_ns: int


def find_files(pattern: str) -> list[StoredFile]:
    """Return a file, all files below a folder, or those that match * and ?.

    Sorted by URI; * does not cross a folder, ** does. Empty if there are none.
    """
    pattern = absolute(pattern)
    wild = next((i for i, c in enumerate(pattern) if c in "*?"), None)
    folder = pattern if wild is None else pattern[:wild].rpartition("/")[0] or "/"
    filesystem, path = open_filesystem(folder)
    with _explained(pattern, tr("cannot list it")):
        info = filesystem.get_file_info(path)
        if info.type == pafs.FileType.File:
            return [StoredFile(pattern, info.size, info.mtime_ns or 0)] if wild is None else []
        selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
        infos = filesystem.get_file_info(selector)
    prefix = path.rstrip("/") + "/"
    files = []
    for info in infos:
        uri = join(folder, info.path.removeprefix(prefix))
        if info.type == pafs.FileType.File and (wild is None or _matches(uri, pattern)):
            files.append(StoredFile(uri, info.size, info.mtime_ns or 0))
    return sorted(files)


def open_input(uri: str) -> io.BufferedReader:
    """Return a file as a seekable, buffered stream. Raises StorageError if it is not there."""
    filesystem, path = open_filesystem(uri)
    with _explained(uri, tr("cannot read it")):
        return io.BufferedReader(filesystem.open_input_file(path), 1 << 20)


def read_bytes(uri: str) -> bytes:
    """Return a whole file. Raises StorageError if it is not there or cannot be read."""
    filesystem, path = open_filesystem(uri)
    # without compression: as it is, whatever its name
    with (
        _explained(uri, tr("cannot read it")),
        filesystem.open_input_stream(path, compression=None) as stream,
    ):
        return bytes(stream.read())


@contextmanager
def open_output(uri: str) -> Iterator[Any]:
    """Open a stream into a file that appears whole or not at all: by a rename locally, by one put
    elsewhere.
    """
    filesystem, path = open_filesystem(uri)
    target = path
    try:
        with _explained(uri, tr("cannot write it"), missing=tr("no such folder")):
            if isinstance(filesystem, pafs.LocalFileSystem):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                target = f"{path}.{uuid.uuid4().hex}.part"
            with filesystem.open_output_stream(target, compression=None) as stream:
                yield stream
            if target != path:
                os.replace(target, path)
    finally:
        if target != path:
            Path(target).unlink(missing_ok=True)


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file that appears whole or not at all."""
    with open_output(uri) as stream:
        stream.write(data)


def write_parquet(uri: str, table: pa.Table) -> None:
    """Write one Parquet file, compressed with zstd, whole or not at all."""
    write_bytes(uri, parquet_bytes(table))


def parquet_bytes(table: pa.Table) -> bytes:
    """Return what `write_parquet` writes."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue().to_pybytes()


def read_parquet(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file, or some columns. Raises StorageError if it is absent or damaged."""
    with _explained(uri, tr("not a readable Parquet file")):
        if columns is None:
            return pq.read_table(pa.BufferReader(read_bytes(uri)))
        with open_input(uri) as stream:
            return pq.read_table(stream, columns=list(columns))


def delete_file(uri: str) -> None:
    """Remove a file if it is there, and locally the folder that it leaves empty."""
    filesystem, path = open_filesystem(uri)
    try:
        filesystem.delete_file(path)
    except FileNotFoundError:
        return
    if isinstance(filesystem, pafs.LocalFileSystem):
        delete_empty_folder(str(Path(path).parent))


def delete_folder(uri: str) -> None:
    """Remove a folder with all that is in it; only for scratch that the caller wrote itself."""
    filesystem, path = open_filesystem(uri)
    with _explained(uri, tr("cannot remove it")), suppress(FileNotFoundError):
        filesystem.delete_dir(path)


def delete_empty_folder(uri: str) -> None:
    """Remove a local folder if nothing is in it; object stores have none."""
    if is_local(uri):
        with suppress(OSError):
            local_path(uri).rmdir()


def list_files(uri: str) -> list[str]:
    """Return paths of all files below a folder, relative to it, sorted."""
    filesystem, path = open_filesystem(uri)
    with _explained(uri, tr("cannot list it"), missing=tr("no such folder")):
        infos = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
    prefix = path.rstrip("/") + "/"
    return sorted(
        info.path.removeprefix(prefix) for info in infos if info.type == pafs.FileType.File
    )


def fetch_folder(uri: str, is_wanted: Callable[[str], bool] = lambda _: True) -> Path:
    """Return a folder as local files: itself, or a private copy made once per node.

    `is_wanted` says of a path below a remote folder whether it is copied. The copy is keyed by
    names and sizes and modification times of the remote files, lies in a folder that only this user
    can read, and appears whole by rename, so that workers can fetch side by side.
    """
    if scheme(uri) not in REMOTE:
        path = local_path(uri)
        if not path.is_dir():
            reason = tr("a file, not a folder") if path.exists() else tr("no such folder")
            raise StorageError("{uri}: {reason}.", uri=uri, reason=reason)
        return path
    filesystem, root = open_filesystem(uri)
    names = [name for name in list_files(uri) if is_wanted(name)]
    infos = [filesystem.get_file_info(f"{root}/{name}") for name in names]
    if not infos:
        raise StorageError("{uri}: no such folder.", uri=uri)
    state = repr([uri, *((info.path, info.size, info.mtime_ns) for info in infos)])
    cache = Path(tempfile.gettempdir()) / f"medembed-{os.getuid()}"
    own_folder(cache)
    target = cache / hashlib.sha256(state.encode()).hexdigest()[:24]
    if not target.is_dir():
        part = Path(tempfile.mkdtemp(dir=cache))
        try:
            for name in names:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                pafs.copy_files(f"{root}/{name}", str(part / name), source_filesystem=filesystem)
            os.rename(part, target)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if not target.is_dir():
                with _explained(uri, tr("cannot copy it to this node")):
                    raise error from None
    return target


@contextmanager
def _explained(uri: str, fault: str, missing: str | None = None) -> Iterator[None]:
    """Turn errors inside into a StorageError that says what could not be done."""
    try:
        yield
    except FileNotFoundError:
        reason = missing or tr("no such file")
        raise StorageError("{uri}: {reason}.", uri=uri, reason=reason) from None
    except (OSError, pa.ArrowException) as error:  # a damaged block of Parquet is an OSError
        why = first_line(error)
        raise StorageError("{uri}: {fault}: {why}", uri=uri, fault=fault, why=why) from None


def _matches(uri: str, pattern: str) -> bool:
    """Return whether a pattern with *, ** and ? fits a whole URI."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    whole = "".join(tokens.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(whole, uri) is not None


def _explain_web(uri: str) -> str:
    hub = re.match(r"https?://huggingface\.co/(?:datasets/)?([\w.-]+/[\w.-]+)", uri)
    advice = tr("download it first (curl -fLO), then give the file.")
    return tr("give hf://{name}.", name=hub[1]) if hub else advice
