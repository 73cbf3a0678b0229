"""The files that came in: which are new, known by their content, and which are not complete yet."""

import gzip
import json
import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.files import read_part
from medembed.data.parts import Part, hash_file, is_gzip, is_hidden
from medembed.data.rows import BadRow
from medembed.errors import DataError, StorageError

_UNFINISHED = re.compile(r"\.(part|partial|tmp|temp|filepart|crdownload|writing)$", re.IGNORECASE)
_TABLES = (".csv", ".tsv")
_TAIL = 1 << 20
_LONGEST_PAUSE_S = 3600  # between two writes to a table

Listed = tuple[str, int, int]  # URI, size, time of writing in ns


@dataclass(frozen=True)
class IncomingFile:
    """A complete file: its place, the hash of its content, and when it was written.

    The time is in seconds since 1970.
    """

    uri: str
    content: str
    written: float


@dataclass(frozen=True)
class Incoming:
    """Complete files that are new, oldest first; how many were taken before or set aside; and those
    that are not complete, with why.
    """

    new: tuple[IncomingFile, ...]
    taken: int
    aside: int
    left: Mapping[str, str]

    def describe(self) -> str:
        """Return the counts in a line, with the reason of the first file that was left."""
        counts = [f"{len(self.new)} new files", f"{self.taken} taken before"]
        if self.aside:
            counts.append(f"{self.aside} set aside (retake=true takes them again)")
        if self.left:
            name, reason = next(iter(self.left.items()))
            more = ", ..." if len(self.left) > 1 else ""
            counts.append(f"{len(self.left)} left, not complete: {name} ({reason}){more}")
        return ", ".join(counts)


def find_incoming(
    source: SourceConfig,
    taken: Collection[str],
    aside: Collection[str],
    settle_s: float,
    now: float | None = None,
    hashes: dict[Listed, str] | None = None,
) -> Incoming:
    """Return the files at `source.path`; two files of one content count once.

    `taken` and `aside` are content hashes. `hashes` holds the content hash of each file that an
    earlier call found complete, and gets those of this one. Raises StorageError if there is no such
    place.
    """
    now = time.time() if now is None else now
    hashes = {} if hashes is None else hashes
    place = storage.absolute(source.path)
    new: dict[str, IncomingFile] = {}
    left: dict[str, str] = {}
    taken_count = 0
    aside_count = 0
    for file in _list_files(place, source):
        uri, _, mtime_ns = file
        if file not in hashes:
            reason = _why_incomplete(file, now - mtime_ns / 1e9, settle_s, source)
            if reason is not None:
                left[uri.removeprefix(place).lstrip("/") or uri] = reason
                continue
            hashes[file] = hash_file(uri)
        content = hashes[file]
        if content in taken or content in new:
            taken_count += 1
        elif content in aside:
            aside_count += 1
        else:
            new[content] = IncomingFile(uri, content, mtime_ns / 1e9)
    return Incoming(tuple(new.values()), taken_count, aside_count, left)


def _list_files(place: str, source: SourceConfig) -> list[Listed]:
    """All files that are not hidden, oldest first."""
    files = [file for file in storage.find_files(place) if not is_hidden(file[0], place)]
    folder = place.partition("*")[0].rpartition("/")[0] if "*" in place else place
    if not files and not storage.exists(folder):
        raise StorageError(
            f"source.path {source.path}: no such place; give the folder or prefix where files land."
        )
    return sorted(files, key=lambda file: (file[2], file[0]))


def count_rows(file: IncomingFile) -> int:
    """Return the rows of a file, about: its lines, or what Parquet's footer says."""
    with ExitStack() as opened:
        stream: Any = opened.enter_context(storage.open_input(file.uri))
        if file.uri.endswith(".parquet"):
            return int(pq.ParquetFile(stream).metadata.num_rows)
        if is_gzip(file.uri):
            stream = opened.enter_context(gzip.open(stream))
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(_TAIL), b""))


def _why_incomplete(
    file: Listed, age_s: float, settle_s: float, source: SourceConfig
) -> str | None:
    """Why a file may not be complete; None if it is. An object store has a file whole or not."""
    uri, size, _ = file
    is_local = storage.is_local(uri)
    if _UNFINISHED.search(uri):
        return "its name says that it is being written"
    if size == 0:
        return "empty"
    if is_local and age_s < settle_s:
        return f"changed {max(age_s, 0):.0f} s ago, less than settle_s={settle_s:g}"
    if uri.lower().endswith(_TABLES):
        # Nobody writes to an old one: reading it will name its last row as bad.
        return _check_table(uri, source) if is_local and age_s <= _LONGEST_PAUSE_S else None
    for suffix, check in _CHECKS.items():
        if uri.lower().endswith(suffix):
            return check(uri, size)
    return None


def _check_lines(uri: str, size: int) -> str | None:
    with storage.open_input(uri) as stream:
        is_array = stream.read(1) == b"["
        stream.seek(max(size - _TAIL, 0))
        tail = stream.read()
    if is_array:
        return None if tail.rstrip().endswith(b"]") else "its array breaks off"
    if uri.lower().endswith(".json"):
        return None  # it may be an object over several lines, which will be told as that
    last = tail.rstrip().rpartition(b"\n")[2]
    if tail.endswith(b"\n") or len(last) >= _TAIL - 1:
        return None
    try:
        json.loads(last)
    except ValueError:
        return "its last line breaks off"
    return None


def _check_table(uri: str, source: SourceConfig) -> str | None:
    """Return why a table is incomplete. A complete one with one quote too many looks so, too."""
    part = Part(uri, "tsv" if uri.lower().endswith(".tsv") else "csv")
    rows = (row for _, row in read_part(part, source.model_copy(update={"path": uri})))
    try:
        first = next(rows, None)
        last = next(iter(deque(rows, maxlen=1)), first)
    except DataError as error:
        return "its last cell breaks off" if "unexpected end of data" in str(error) else None
    # without a header a row is no BadRow for having fewer cells
    is_short = isinstance(first, dict) and isinstance(last, dict) and len(last) < len(first)
    return "its last row breaks off" if is_short or isinstance(last, BadRow) else None


def _check_gzip(uri: str, size: int) -> str | None:
    try:
        with storage.open_input(uri) as raw, gzip.open(raw) as stream:
            while stream.read(_TAIL):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "its compression breaks off"
    return None


def _check_parquet(uri: str, size: int) -> str | None:
    try:
        with storage.open_input(uri) as stream:
            pq.ParquetFile(stream)
    except (pa.ArrowException, OSError):
        return "it has no Parquet footer"
    return None


_CHECKS: dict[str, Callable[[str, int], str | None]] = {
    ".gz": _check_gzip,
    ".parquet": _check_parquet,
    ".json": _check_lines,
    ".jsonl": _check_lines,
    ".ndjson": _check_lines,
}
