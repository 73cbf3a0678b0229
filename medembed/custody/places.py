"""Find the places that may hold rows below a folder, read what each is, and remove one.

A place is a finished output, a table, a page, or what a run that died has left.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import TypeVar

from medembed import storage
from medembed.artifact import MANIFEST, read_one_of, write_manifest
from medembed.custody.kinds import ALL_KINDS, LeavingManifest
from medembed.custody.names import PART, is_ours
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.open_table import find_newest
from medembed.encoding.table import METADATA_KEY, find_table
from medembed.errors import StorageError
from medembed.lineage import KINDS, Manifest, Origin, Source, TableManifest

# Kinds of places that have no manifest. A file is one of an output that died, or of what has no
# manifest; fragments are a table that died before it was one.
ARTIFACT = "runs:/"  # how the URI of an artifact in MLflow begins
PAGE = "report"
FILE = "file"
FRAGMENTS = "fragments"
UNFINISHED = "unfinished run"

_VERSIONS = "/_versions/"  # of a table: without them no reader opens it
_FRAGMENT = re.compile(r"/data/[^/]+\.lance$")
_RUN = re.compile(r".+?\.run(?:-[0-9a-f]{16})?(?=/)")
_PATTERNS = frozenset(chain.from_iterable(kind.patterns for kind in KINDS))
_BESIDE = "summary.json"  # what a job writes beside an output
M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Place:
    """A place of one kind, with its manifest if it has one."""

    uri: str
    kind: str
    manifest: Manifest | None = None

    @property
    def origin(self) -> Origin:
        """What it was made from, as far as it says so."""
        return self.manifest.origin if self.manifest else Origin()

    @property
    def files(self) -> list[str]:
        """URIs of its files, or itself."""
        if self.manifest is None:
            return [self.uri]
        return [storage.join(self.uri, name) for name in self.manifest.names]


def read_output(uri: str, version: int | None = None) -> Manifest | None:
    """Return what an output says of itself, a table at this or its newest version; None if there is
    none of ours.

    Raises StorageError for what cannot be read.
    """
    manifest = read_one_of(uri, ALL_KINDS)
    if manifest is not None:
        return manifest
    table = find_newest(uri) if version is None else find_table(uri, version)
    if table is None:
        return None
    rows = open_lance(uri, table.version).tracked_files(min_version=table.version).read_all()
    files = [row["path"] for row in rows.to_pylist() if row["version"] == table.version]
    return TableManifest(
        fingerprint=table.info.encoder,
        encoder=table.info.encoder,
        origin=Origin(dataset=Source(table.info.dataset)),
        version=table.version,
        files=tuple(sorted(files)),
        counts={"rows": table.rows},
    )


def known(source: Source | str | None, kind: type[M]) -> M | None:
    """Return what a source, or a place, says of itself; None if its place is not known, has another
    kind, or cannot be read here.
    """
    if isinstance(source, str):
        source = Source("", source)
    if source is None or source.uri is None:
        return None
    try:
        manifest = read_output(source.uri, source.version)
    except StorageError:
        return None
    return manifest if isinstance(manifest, kind) else None


def search(folder: str) -> Iterator[Place]:
    """Yield all places below a folder, or the folder itself; of a folder within an output, all of
    that.

    Raises StorageError for what cannot be read: nothing is skipped in silence.
    """
    folder = _whole(plain(folder))
    runs: set[str] = set()
    tables: set[str] = set()
    names: list[str] = []
    for file in storage.find_files(folder):
        if match := _RUN.match(file.uri, len(folder)):
            runs.add(file.uri[: match.end()])
        else:
            names.append(file.uri)
            if _VERSIONS in file.uri:
                tables.add(file.uri.partition(_VERSIONS)[0])
    for uri in sorted(runs):
        yield Place(uri, UNFINISHED)
    claimed: set[str] = set()
    for name in names:
        uri, _, base = name.rpartition("/")
        manifest = read_one_of(uri, ALL_KINDS) if base == MANIFEST else None
        if manifest is not None:
            place = Place(uri, manifest.kind, manifest)
            claimed.update([name, *place.files])
            if manifest.on_erasure != "keep":
                yield place
    for uri in sorted(tables):
        # one that is being removed has a manifest that says so, and may not open any more
        if storage.join(uri, MANIFEST) not in claimed and _is_table(uri):
            yield Place(uri, TableManifest.kind)
    outside = [name for name in names if not is_below(name, tables)]
    yield from _search_leftovers(outside, claimed)


def _search_leftovers(names: Sequence[str], claimed: Collection[str]) -> Iterator[Place]:
    """Yield what these files outside of tables are that no manifest has claimed."""
    fragments = filter(_FRAGMENT.search, names)
    for uri in sorted({_FRAGMENT.sub("", name) for name in fragments}):
        yield Place(uri, FRAGMENTS)
    for name in names:
        if name.endswith("/report.html"):
            yield Place(name, PAGE)
    for name in names:
        is_named_so = any(map(PurePath(name).match, _PATTERNS)) and name not in claimed
        if PART.search(name) or (is_named_so and is_ours(name)):
            yield Place(name, FILE)


def remove(uri: str) -> None:
    """Remove a finished output or a table, or finish such a removal.

    Of an output the files go that its manifest names; what others put there stays. No half of one
    passes for whole after a death, and the next run finishes: the manifest is replaced first by one
    that names what is to go, and goes last.
    """
    leaving = read_one_of(uri, ALL_KINDS)
    if not isinstance(leaving, LeavingManifest):
        if leaving is not None:
            names = [_BESIDE, *leaving.names]
        elif storage.exists(uri + _VERSIONS.rstrip("/")):
            files = storage.list_files(uri)
            names = sorted(files, key=lambda name: _VERSIONS not in f"/{name}")
        else:
            return
        leaving = LeavingManifest(files=tuple(names))
        write_manifest(uri, leaving)
    for name in [*leaving.files, MANIFEST]:
        storage.delete_file(storage.join(uri, name))
    storage.delete_empty_folder(uri)


def files_below(uri: str) -> dict[str, storage.StoredFile]:
    """Return {name: file} of all files below a folder; empty if it is not there."""
    prefix = f"{plain(uri)}/"
    return {file.uri.removeprefix(prefix): file for file in storage.find_files(uri)}


def is_reached(uri: str) -> bool:
    """Return whether a folder lies where we can look into it, and write."""
    return storage.scheme(uri) in ("file", *storage.REMOTE)


def plain(uri: str) -> str:
    """Return a URI by which places are compared."""
    return storage.absolute(uri).rstrip("/")


def is_below(uri: str, folders: Iterable[str]) -> bool:
    """Return whether a place is one of these folders, or lies in one."""
    return f"{uri}/".startswith(tuple(map("{}/".format, folders)))


def _is_table(uri: str) -> bool:
    """Return whether an embedding table of ours lies there, not one that others made with Lance."""
    is_whole = bool(storage.find_files(f"{uri}{_VERSIONS}*.manifest"))
    return is_whole and METADATA_KEY in (open_lance(uri).schema.metadata or {})


def _whole(folder: str) -> str:
    """Return the folder, or the output or table that it is a part of."""
    above = folder.rpartition("/")[0]
    manifest = read_one_of(above, ALL_KINDS)
    if manifest is not None and manifest.on_erasure != "keep":
        return above
    return above if storage.exists(above + _VERSIONS.rstrip("/")) else folder
