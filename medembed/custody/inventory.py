"""Places that may hold rows: finished outputs, tables, reports, and files of rows that no manifest
names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from medembed import storage
from medembed.artifact import MANIFEST, read_any, read_manifest
from medembed.custody.names import is_ours, queries_in
from medembed.custody.remove import MARK
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.open_table import find_newest
from medembed.encoding.table import METADATA_KEY, Table, find_table
from medembed.errors import StorageError
from medembed.evaluation.retention import FOLDER as RETENTION
from medembed.lineage import CheckpointManifest, Manifest, Source, StartManifest
from medembed.mining.examples import REPORT as MINING

# FILE: of an output that died, or of one that has no manifest. FRAGMENTS: a table that died before
# it was one. LEAVING: an output of which a removal that died has left a part.
TABLE, REPORT, FILE, FRAGMENTS, LEAVING, RUN = (
    "table",
    "report",
    "file",
    "fragments",
    "half removed",
    "unfinished run",
)
M = TypeVar("M", bound=Manifest)
_WITHOUT_ROWS = (CheckpointManifest, StartManifest)
PART = re.compile(r"\.[0-9a-f]{32}\.part$")  # what a process that died has left of a write
_VERSIONS, _FRAGMENT, _PAGE = "/_versions/", re.compile(r"/data/[^/]+\.lance$"), "report.html"
_LEFT = re.compile(rf"\.parquet$|/nearest/[^/]+\.arrow$|/{re.escape(MINING)}$|{PART.pattern}")
_RUN = re.compile(r".+?\.run(?:-[0-9a-f]{16})?(?=/)")


@dataclass(frozen=True)
class Place:
    """A finished output with its manifest; or a table, a file, or the folder of a run that is not
    finished.
    """

    uri: str
    kind: str
    manifest: Manifest | None = None

    @property
    def is_made_again(self) -> bool:
        """Whether a job makes it again from the same inputs."""
        return self.manifest is not None and not self.manifest.is_rewritten

    @property
    def dataset(self) -> str | None:
        """The fingerprint of the data set that it was made from, if it says so."""
        source = self.manifest.origin.dataset if self.manifest else None
        return source.fingerprint if source else None

    @property
    def files(self) -> list[str]:
        """URIs of its files, or itself."""
        return (
            [storage.join(self.uri, name) for name in self.manifest.names]
            if self.manifest
            else [self.uri]
        )

    @property
    def named(self) -> list[str]:
        """Data sets and tables with rows that it was made from."""
        origin = self.manifest.origin if self.manifest else None
        sources: Iterable[Source | None] = (origin.dataset, origin.table) if origin else ()
        return [plain(one.uri) for one in sources if one and one.uri]


def search(folder: str) -> Iterator[Place]:
    """All such places below a folder, or the folder itself; of a folder within an output, all of
    that.

    Raises StorageError for what cannot be read: nothing is skipped in silence.
    """
    folder = _whole(storage.absolute(folder).rstrip("/"))
    names = [uri for uri, _, _ in storage.find_files(folder)]
    runs = {name[: match.end()] for name in names if (match := _RUN.match(name, len(folder)))}
    names = [name for name in names if not _RUN.match(name, len(folder))]
    tables = sorted({name.partition(_VERSIONS)[0] for name in names if _VERSIONS in name})
    names = [name for name in names if not name.startswith(tuple(f"{uri}/" for uri in tables))]
    fragments = {_FRAGMENT.sub("", name) for name in names if _FRAGMENT.search(name)}
    claimed: set[str] = set()
    for name in names:
        above, _, file = name.rpartition("/")
        if file == MANIFEST:
            place = _open(above)
            claimed.update(place.files if place else ())
            if place and not isinstance(place.manifest, _WITHOUT_ROWS):
                yield place
        elif file == MARK:
            yield Place(above, LEAVING)
    for name in names:
        if name.endswith(f"/{_PAGE}"):
            yield Place(name, REPORT)
        elif name not in claimed and _LEFT.search(name):
            yield Place(name, FILE)
    yield from (Place(uri, TABLE) for uri in tables if is_table(uri))
    yield from (Place(uri, FRAGMENTS) for uri in sorted(fragments))
    yield from (Place(uri, RUN) for uri in sorted(runs))


def search_beside(source: str) -> Iterator[Place]:
    """The retention sets, and what was measured on them, that lie beside a checkpoint."""
    above = source.rstrip("/").rpartition("/")[0]
    if is_reached(above):
        yield from search(storage.join(above, RETENTION))


def outputs_in(folder: str, file: str) -> Iterator[str]:
    """Folders below one that hold a file of this name, as each finished output its manifest."""
    for uri, _, _ in storage.find_files(storage.join(folder, "**", file)):
        yield uri.removesuffix(f"/{file}")


def is_reached(uri: str) -> bool:
    """Whether a folder lies where we can look into it, and write."""
    return storage.scheme(uri) in ("file", *storage.REMOTE)


def known_manifest(uri: str | None, kind: type[M]) -> M | None:
    """The manifest of a finished output of this kind; None if it is not recorded, gone, or cannot
    be read here.
    """
    if uri is None:
        return None
    try:
        return read_manifest(uri, kind)
    except StorageError:
        return None


def known_table(source: Source | None) -> Table | None:
    """A table at a version, by default the newest; None if it is not recorded, gone, or cannot be
    read here.
    """
    if source is None or source.uri is None:
        return None
    try:
        return (
            find_newest(source.uri)
            if source.version is None
            else find_table(source.uri, source.version)
        )
    except StorageError:
        return None


def is_table(uri: str) -> bool:
    """Whether an embedding table of ours lies there; what others made with Lance is none. Raises
    StorageError.
    """
    if not storage.find_files(storage.join(uri, "_versions", "*.manifest")):
        return False
    return METADATA_KEY in (open_lance(uri).schema.metadata or {})


def queries_named(place: Place) -> Iterator[str]:
    """Ids of queries that a place names which loses those that its data set has lost."""
    if place.is_made_again or place.kind in (FILE, REPORT):
        for uri in place.files:
            if not PART.search(uri) and (
                place.kind != FILE or uri.endswith(".json") or is_ours(uri)
            ):
                yield from queries_in(uri)


def plain(uri: str) -> str:
    """A URI by which places are compared."""
    return storage.absolute(uri).rstrip("/")


def is_below(uri: str, folders: Sequence[str]) -> bool:
    """Whether a place is one of these folders, or lies in one."""
    return any(f"{uri.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _whole(folder: str) -> str:
    """The folder, or the output or table that it is a part of."""
    above = folder.rpartition("/")[0]
    place = _open(above)
    is_part = place is not None and not isinstance(place.manifest, _WITHOUT_ROWS)
    return above if is_part or storage.exists(storage.join(above, _VERSIONS.strip("/"))) else folder


def _open(uri: str) -> Place | None:
    """A finished output of a kind that is ours."""
    manifest = read_any(uri)
    return Place(uri, manifest.kind, manifest) if manifest else None
