"""List what a registered version consists of, file by file, for a backup."""

from dataclasses import dataclass
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.inventory import known_manifest, known_table, plain
from medembed.custody.kinds import LeavingManifest, Part
from medembed.encoding.lance_dataset import open_lance
from medembed.lineage import CheckpointManifest, DatasetManifest, ExamplesManifest, Manifest, Source
from medembed.registry.models import Version
from medembed.schema import fingerprint

FOLDERS: dict[Part, str] = {
    "checkpoint": "models",
    "dataset": "data",
    "examples": "examples",
    "table": "tables",
}
_MANIFESTS: dict[Part, type[Manifest]] = {
    "checkpoint": CheckpointManifest,
    "dataset": DatasetManifest,
    "examples": ExamplesManifest,
}
_COPIED = ("file", "package", *storage.REMOTE)


@dataclass(frozen=True)
class File:
    """A file's size and modification time in ns."""

    bytes: int
    modified: int


@dataclass(frozen=True)
class Item:
    """A part of a version: where it lies, and its files by relative names. `made_from` tells it
    from others that lay, or will lie, at its URI.
    """

    kind: Part
    uri: str
    files: dict[str, File]
    made_from: Any

    @property
    def part(self) -> str:
        """Its name in a backup, however its files change."""
        return f"{FOLDERS[self.kind]}/{fingerprint([self.uri, self.made_from])}"

    @property
    def folder(self) -> str:
        """Its folder in a backup: another for other files, so that no copy is written over."""
        files = {name: [file.bytes, file.modified] for name, file in self.files.items()}
        return f"{self.part}-{fingerprint(files)}"


def sources_of(version: Version) -> dict[Part, Source]:
    """Return what is recorded of a version's parts, with their places."""
    lineage = version.lineage
    sources: dict[Part, Source | None] = {
        "checkpoint": Source(lineage.encoder or "", version.source),
        "dataset": lineage.dataset,
        "examples": lineage.examples,
        "table": lineage.table,
    }
    return {part: source for part, source in sources.items() if source and source.uri}


def find_item(part: Part, source: Source) -> Item | None:
    """Return a part with its files; None if it is gone, or cannot be read here."""
    assert source.uri
    return _find_table(source) if part == "table" else _find_folder(part, source.uri)


def _find_table(source: Source) -> Item | None:
    """Return the files of one version of a table, by default the newest, as Lance lists them."""
    table = known_table(source)
    if table is None:
        return None
    rows = open_lance(table.uri, table.version).tracked_files(min_version=table.version).read_all()
    tracked = rows.select(["version", "path"]).to_pylist()
    needed = {row["path"] for row in tracked if row["version"] == table.version}
    return _item("table", table.uri, needed, sorted(needed))


def _find_folder(part: Part, uri: str) -> Item | None:
    """Return what a folder's manifest names; of a model without one all files."""
    if storage.scheme(uri) not in _COPIED or known_manifest(uri, LeavingManifest):
        return None
    manifest = known_manifest(uri, _MANIFESTS[part])
    if manifest is not None:
        return _item(part, uri, {*manifest.files, MANIFEST}, manifest.key)
    return _item(part, uri, None, None) if part == "checkpoint" else None


def _item(kind: Part, uri: str, needed: set[str] | None, made_from: Any) -> Item | None:
    """Return these files below a folder, all for None; None if there are none or one is gone."""
    prefix = plain(uri) + "/"
    files: dict[str, File] = {}
    for name, size, modified in storage.find_files(uri):
        relative = name.removeprefix(prefix)
        if needed is None or relative in needed:
            files[relative] = File(size, modified)
    if not files or (needed is not None and files.keys() != needed):
        return None
    return Item(kind, uri, files, made_from)
