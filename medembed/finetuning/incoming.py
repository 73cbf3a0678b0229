"""The files that came in: which are new, known by their content, and which are not complete yet."""

import gzip
import re
import time
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.formats.files import hash_file, is_gzip, is_hidden
from medembed.data.formats.lines import count_lines, open_unpacked
from medembed.data.formats.table import format_of_file
from medembed.errors import StorageError
from medembed.language import tr
from medembed.storage import StoredFile

_UNFINISHED = re.compile(r"\.(part|partial|tmp|temp|filepart|crdownload|writing)$", re.IGNORECASE)
_LONGEST_PAUSE_S = 3600  # between two writes to a file


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
        counts = [
            tr("{count} new files", count=len(self.new)),
            tr("{count} taken before", count=self.taken),
        ]
        if self.aside:
            counts.append(tr("{count} set aside (retake=true takes them again)", count=self.aside))
        if self.left:
            name, reason = next(iter(self.left.items()))
            counts.append(
                tr(
                    "{count} left, not complete: {name} ({reason})",
                    count=len(self.left),
                    name=name,
                    reason=reason,
                )
            )
            counts += ["..."] if len(self.left) > 1 else []
        return ", ".join(counts)


def find_incoming(
    source: SourceConfig,
    taken: Collection[str],
    aside: Collection[str],
    settle_s: float,
    now: float | None = None,
    hashes: dict[StoredFile, str] | None = None,
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
        written = file.written_ns / 1e9
        if file not in hashes:
            reason = _why_incomplete(file, now - written, settle_s, source)
            if reason is not None:
                left[file.uri.removeprefix(place).lstrip("/") or file.uri] = reason
                continue
            hashes[file] = hash_file(file.uri)
        content = hashes[file]
        if content in taken or content in new:
            taken_count += 1
        elif content in aside:
            aside_count += 1
        else:
            new[content] = IncomingFile(file.uri, content, written)
    return Incoming(tuple(new.values()), taken_count, aside_count, left)


def _list_files(place: str, source: SourceConfig) -> list[StoredFile]:
    """All files that are not hidden, oldest first."""
    files = [file for file in storage.find_files(place) if not is_hidden(file.uri, place)]
    folder = place.partition("*")[0].rpartition("/")[0] if "*" in place else place
    if not files and not storage.exists(folder):
        raise StorageError(
            "source.path {path}: no such place; give the folder or prefix where files land.",
            path=source.path,
        )
    return sorted(files, key=lambda file: (file.written_ns, file.uri))


def count_rows(file: IncomingFile) -> int:
    """Return the rows of a file, about: its lines, or what its format knows better."""
    form = format_of_file(file.uri)
    return form.count_rows(file.uri) if form else count_lines(file.uri)


def _why_incomplete(
    file: StoredFile, age_s: float, settle_s: float, source: SourceConfig
) -> str | None:
    """Return why a file may not be complete; None if it is.

    An object store has a file whole or not.
    """
    is_local = storage.is_local(file.uri)
    if _UNFINISHED.search(file.uri):
        return tr("its name says that it is being written")
    if file.size_bytes == 0:
        return tr("empty")
    if is_local and age_s < settle_s:
        return tr(
            "changed {age_s:.0f} s ago, less than settle_s={settle_s:g}",
            age_s=max(age_s, 0),
            settle_s=settle_s,
        )
    if is_gzip(file.uri):
        return _check_gzip(file.uri)
    form = format_of_file(file.uri)
    if form is None:
        return None
    if form.is_check_unsure and not (is_local and age_s <= _LONGEST_PAUSE_S):
        return None  # nobody writes to it any more: reading it will name what is wrong
    return form.why_incomplete(file.uri, source.model_copy(update={"path": file.uri}))


def _check_gzip(uri: str) -> str | None:
    try:
        with open_unpacked(uri) as stream:
            while stream.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return tr("its compression breaks off")
    return None
