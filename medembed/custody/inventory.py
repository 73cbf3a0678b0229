"""Find the places that may hold rows: finished outputs, tables, reports, and what runs that died
have left.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest
from medembed.custody.kinds import read_any
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.open_table import find_newest
from medembed.encoding.table import METADATA_KEY, Table, find_table
from medembed.errors import StorageError
from medembed.evaluation.retention.sets import FOLDER as RETENTION
from medembed.lineage import Manifest, Source
from medembed.mining.examples import COUNTS as MINING

# Kinds of places that have no manifest. A file is one of an output that died, or of what has no
# manifest; fragments are a table that died before it was one.
TABLE = "table"
REPORT = "report"
FILE = "file"
FRAGMENTS = "fragments"
RUN = "unfinished run"

PART = re.compile(r"\.[0-9a-f]{32}\.part$")  # what a process that died has left of a write
_PAGE = "report.html"
_VERSIONS = "/_versions/"
_FRAGMENT = re.compile(r"/data/[^/]+\.lance$")
_LEFT = re.compile(rf"\.parquet$|/nearest/[^/]+\.arrow$|/{re.escape(MINING)}$|{PART.pattern}")
_RUN = re.compile(r".+?\.run(?:-[0-9a-f]{16})?(?=/)")
M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Place:
    """A finished output with its manifest; or a table, a file, or an unfinished run's folder."""

    uri: str
    kind: str
    manifest: Manifest | None = None

    @property
    def dataset(self) -> str | None:
        """The fingerprint of the data set that it was made from, if it says so."""
        source = self.manifest.origin.dataset if self.manifest else None
        return source.fingerprint if source else None

    @property
    def files(self) -> list[str]:
        """URIs of its files, or itself."""
        if self.manifest is None:
            return [self.uri]
        return [storage.join(self.uri, name) for name in self.manifest.names]

    @property
    def parents(self) -> list[str]:
        """Where that lies which it was made from."""
        return [plain(uri) for uri in self.manifest.origin.data] if self.manifest else []


def search(folder: str) -> Iterator[Place]:
    """Yield all such places below a folder, or the folder itself; of a folder within an output, all
    of that.

    Raises StorageError for what cannot be read: nothing is skipped in silence.
    """
    folder = _whole(plain(folder))
    names = [uri for uri, _, _ in storage.find_files(folder)]
    runs = {name[: match.end()] for name in names if (match := _RUN.match(name, len(folder)))}
    names = _outside(runs, names)
    tables = {name.partition(_VERSIONS)[0] for name in names if _VERSIONS in name}
    claimed: set[str] = set()
    for name in names:
        place = _open(name.removesuffix(f"/{MANIFEST}")) if name.endswith(f"/{MANIFEST}") else None
        if place is None:
            continue
        claimed.update(place.files)
        if place.manifest and place.manifest.has_rows:
            yield place
    # a table that is being removed has a manifest that says so, and may not open any more
    whole = {uri for uri in tables if storage.join(uri, MANIFEST) not in names}
    yield from (Place(uri, TABLE) for uri in sorted(whole) if _is_table(uri))
    names = _outside(tables, names)
    fragments: set[str] = set()
    for name in names:
        if name.endswith(f"/{_PAGE}"):
            yield Place(name, REPORT)
        elif _FRAGMENT.search(name):
            fragments.add(_FRAGMENT.sub("", name))
        elif name not in claimed and _LEFT.search(name):
            yield Place(name, FILE)
    yield from (Place(uri, FRAGMENTS) for uri in sorted(fragments))
    yield from (Place(uri, RUN) for uri in sorted(runs))


def search_beside(source: str) -> Iterator[Place]:
    """Yield the retention sets, and what was measured on them, that lie beside a checkpoint."""
    above = source.rstrip("/").rpartition("/")[0]
    if is_reached(above):
        yield from search(storage.join(above, RETENTION))


def outputs_in(folder: str) -> Iterator[Place]:
    """Yield the finished and the half removed outputs below a folder that can be read here."""
    for uri, _, _ in storage.find_files(storage.join(folder, "**", MANIFEST)):
        try:
            place = _open(uri.removesuffix(f"/{MANIFEST}"))
        except StorageError:
            continue
        if place is not None:
            yield place


def is_reached(uri: str) -> bool:
    """Return whether a folder lies where we can look into it, and write."""
    return storage.scheme(uri) in ("file", *storage.REMOTE)


def known_manifest(uri: str | None, kind: type[M]) -> M | None:
    """Return an output's manifest; None if its place is not known, or cannot be read here."""
    try:
        return read_manifest(uri, kind) if uri is not None else None
    except StorageError:
        return None


def known_table(source: Source | None) -> Table | None:
    """Return a table, by default its newest version; None if that cannot be read here."""
    if source is None or source.uri is None:
        return None
    try:
        if source.version is None:
            return find_newest(source.uri)
        return find_table(source.uri, source.version)
    except StorageError:
        return None


def plain(uri: str) -> str:
    """Return a URI by which places are compared."""
    return storage.absolute(uri).rstrip("/")


def is_below(uri: str, folders: Sequence[str]) -> bool:
    """Return whether a place is one of these folders, or lies in one."""
    return any(f"{uri.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _outside(folders: set[str], names: Sequence[str]) -> list[str]:
    starts = tuple(f"{folder}/" for folder in folders)
    return [name for name in names if not name.startswith(starts)]


def _is_table(uri: str) -> bool:
    """Return whether an embedding table of ours lies there; what others made with Lance is none."""
    if not storage.find_files(storage.join(uri, "_versions", "*.manifest")):
        return False
    return METADATA_KEY in (open_lance(uri).schema.metadata or {})


def _whole(folder: str) -> str:
    """Return the folder, or the output or table that it is a part of."""
    above = folder.rpartition("/")[0]
    place = _open(above)
    if place is not None and place.manifest is not None and place.manifest.has_rows:
        return above
    return above if storage.exists(storage.join(above, _VERSIONS.strip("/"))) else folder


def _open(uri: str) -> Place | None:
    """Return an output of a kind that is ours."""
    manifest = read_any(uri)
    return Place(uri, manifest.kind, manifest) if manifest else None
