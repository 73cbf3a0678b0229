"""What a registered version consists of, file by file: what a backup copies, and what prune may delete."""

from dataclasses import dataclass
from typing import Any, Literal

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.places import CHECKPOINT, known_manifest, known_table, places_of
from medembed.custody.remove import MARK
from medembed.data.dataset import KIND as DATASET
from medembed.encoding.table import open_lance
from medembed.mining.examples import KIND as EXAMPLES
from medembed.registry.models import Version
from medembed.schema import fingerprint

Kind = Literal["checkpoint", "dataset", "examples", "table"]
FOLDERS: dict[Kind, str] = {"checkpoint": "models", "dataset": "data", "examples": "examples", "table": "tables"}
_COPIED = ("file", "package", *storage.REMOTE)


@dataclass(frozen=True)
class Item:
    """A folder of a version: its files {relative name: (bytes, modification time in ns)}; `made_from` tells it from
    others that lay, or will lie, at its URI."""

    kind: Kind
    uri: str
    files: dict[str, tuple[int, int]]
    made_from: Any

    @property
    def folder(self) -> str:
        """Its place in a backup: a new one once any file has changed, so that no copy is ever written over."""
        return f"{FOLDERS[self.kind]}/{fingerprint([self.uri, self.made_from])}-{fingerprint(self.files)}"


def part_of(folder: str) -> str:
    """What the places of a part in a backup have in common, however its files changed."""
    return folder.partition("-")[0]


def items_of(version: Version) -> tuple[dict[Kind, Item], dict[Kind, str]]:
    """(what there is of a version, what is recorded and gone or cannot be read)."""
    places, gone = places_of(version), dict[Kind, str]()
    found: dict[Kind, Item] = {}
    named: dict[Kind, str | None] = {
        "checkpoint": places.checkpoint, "dataset": places.dataset, "examples": places.examples,
    }  # fmt: skip
    for kind, uri in named.items():
        item = _folder_item(kind, uri) if uri and storage.scheme(uri) in _COPIED else None
        if item is not None:
            found[kind] = item
        elif uri:
            gone[kind] = uri
    if places.table:
        item = table_item(places.table, places.table_version)
        if item is not None:
            found["table"] = item
        else:
            gone["table"] = f"{places.table} version {places.table_version}"
    return found, gone


def table_item(uri: str, number: int | None = None) -> Item | None:
    """The files of one version of a table, by default the newest, as Lance lists them; None if one is gone."""
    table = known_table(uri, number)
    if table is None:
        return None
    rows = open_lance(uri, table.version).tracked_files(min_version=table.version).read_all()
    needed = {
        row["path"] for row in rows.select(["version", "path"]).to_pylist() if row["version"] == table.version
    }  # fmt: skip
    files = {name: facts for name, facts in _listed(uri).items() if name in needed}
    return Item("table", uri, files, sorted(files)) if files.keys() == needed else None


def _folder_item(kind: Kind, uri: str) -> Item | None:
    """The files that a folder's manifest names, and the manifest; of a model without one, all files."""
    files = _listed(uri)
    if MARK in files:  # a removal has begun
        return None
    manifest = known_manifest(uri, {"checkpoint": CHECKPOINT, "dataset": DATASET, "examples": EXAMPLES}[kind])
    if manifest is not None:
        wanted = {*manifest["files"], MANIFEST}
        if wanted - files.keys():
            return None
        files = {name: facts for name, facts in files.items() if name in wanted}
    elif kind != "checkpoint" or not files:
        return None
    return Item(kind, uri, files, manifest and manifest["key"])


def _listed(uri: str) -> dict[str, tuple[int, int]]:
    prefix = storage.absolute(uri).rstrip("/") + "/"
    return {name.removeprefix(prefix): (size, modified) for name, size, modified in storage.find_files(uri)}
