"""What a registered version consists of, file by file: what a backup copies, and what prune may
delete.
"""

from dataclasses import dataclass
from typing import Any, Literal

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.inventory import known_manifest, known_table
from medembed.custody.remove import MARK
from medembed.encoding.lance_dataset import open_lance
from medembed.lineage import CheckpointManifest, DatasetManifest, ExamplesManifest, Manifest, Source
from medembed.registry.models import Version
from medembed.schema import fingerprint

Kind = Literal["checkpoint", "dataset", "examples", "table"]
FOLDERS: dict[Kind, str] = {
    "checkpoint": "models",
    "dataset": "data",
    "examples": "examples",
    "table": "tables",
}
_MANIFESTS: dict[Kind, type[Manifest]] = {
    "checkpoint": CheckpointManifest,
    "dataset": DatasetManifest,
    "examples": ExamplesManifest,
}
_COPIED = ("file", "package", *storage.REMOTE)


@dataclass(frozen=True)
class Item:
    """A folder of a version: its files {relative name: (bytes, modification time in ns)};
    `made_from` tells it from others that lay, or will lie, at its URI."""

    kind: Kind
    uri: str
    files: dict[str, tuple[int, int]]
    made_from: Any

    @property
    def folder(self) -> str:
        """Its place in a backup: a new one once any file has changed, so that no copy is ever
        written over.
        """
        source = fingerprint([self.uri, self.made_from])
        return f"{FOLDERS[self.kind]}/{source}-{fingerprint(self.files)}"


def part_of(folder: str) -> str:
    """What the places of a part in a backup have in common, however its files changed."""
    return folder.partition("-")[0]


def items_of(version: Version) -> tuple[dict[Kind, Item], dict[Kind, str]]:
    """(what there is of a version, what is recorded and gone or cannot be read)."""
    lineage = version.lineage
    named: dict[Kind, Source | None] = {
        "checkpoint": Source(lineage.encoder or "", version.source),
        "dataset": lineage.dataset,
        "examples": lineage.examples,
        "table": lineage.table,
    }
    there, gone = dict[Kind, Item](), dict[Kind, str]()
    for kind, source in named.items():
        if source is None or source.uri is None:
            continue
        item = table_item(source) if kind == "table" else _folder_item(kind, source.uri)
        if item is not None:
            there[kind] = item
        else:
            gone[kind] = f"{source.uri} version {source.version}" if kind == "table" else source.uri
    return there, gone


def table_item(source: Source) -> Item | None:
    """The files of one version of a table, by default the newest, as Lance lists them; None if one
    is gone.
    """
    table = known_table(source)
    if table is None:
        return None
    rows = open_lance(table.uri, table.version).tracked_files(min_version=table.version).read_all()
    tracked = rows.select(["version", "path"]).to_pylist()
    needed = {row["path"] for row in tracked if row["version"] == table.version}
    files = {name: facts for name, facts in _listed(table.uri).items() if name in needed}
    return Item("table", table.uri, files, sorted(files)) if files.keys() == needed else None


def _folder_item(kind: Kind, uri: str) -> Item | None:
    """The files that a folder's manifest names, and the manifest; of a model without one, all
    files.
    """
    if storage.scheme(uri) not in _COPIED:
        return None
    files = _listed(uri)
    if MARK in files:  # a removal has begun
        return None
    manifest = known_manifest(uri, _MANIFESTS[kind])
    if manifest is not None:
        wanted = {*manifest.files, MANIFEST}
        if wanted - files.keys():
            return None
        files = {name: facts for name, facts in files.items() if name in wanted}
    elif kind != "checkpoint" or not files:
        return None
    return Item(kind, uri, files, manifest and manifest.key)


def _listed(uri: str) -> dict[str, tuple[int, int]]:
    prefix = storage.absolute(uri).rstrip("/") + "/"
    return {
        name.removeprefix(prefix): (size, modified)
        for name, size, modified in storage.find_files(uri)
    }
