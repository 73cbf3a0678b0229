"""What a registered version consists of, file by file: what a backup copies, and what prune may delete."""

from dataclasses import dataclass
from typing import Literal

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.places import CHECKPOINT, known_manifest, known_table, places_of
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
    """A folder of a version: its files {relative name: (bytes, modification time in ns)}, and its place in a backup."""

    kind: Kind
    uri: str
    files: dict[str, tuple[int, int]]
    folder: str


def items_of(version: Version) -> tuple[dict[Kind, Item], list[str]]:
    """(what there is of a version, lines that say what is recorded and gone)."""
    places, gone = places_of(version), []
    found: dict[Kind, Item] = {}
    named: dict[Kind, str | None] = {
        "checkpoint": places.checkpoint, "dataset": places.dataset, "examples": places.examples,
    }  # fmt: skip
    for kind, uri in named.items():
        item = _folder_item(kind, uri) if uri and storage.scheme(uri) in _COPIED else None
        if item is not None:
            found[kind] = item
        elif uri:
            gone.append(f"{kind} {uri}")
    if places.table:
        item = table_item(places.table, places.table_version)
        if item is not None:
            found["table"] = item
        else:
            gone.append(f"table {places.table} version {places.table_version}")
    return found, gone


def table_item(uri: str, number: int | None = None) -> Item | None:
    """The files of one version of a table, by default the newest, as Lance lists them; None if it is gone."""
    table = known_table(uri, number)
    if table is None:
        return None
    rows = open_lance(uri, table.version).tracked_files(min_version=table.version).read_all()
    needed = {
        row["path"] for row in rows.select(["version", "path"]).to_pylist() if row["version"] == table.version
    }  # fmt: skip
    files = {name: facts for name, facts in _listed(uri).items() if name in needed}
    folder = f"{FOLDERS['table']}/{fingerprint([uri, table.version])}.lance"
    return Item("table", uri, files, folder)


def _folder_item(kind: Kind, uri: str) -> Item | None:
    """The files that a folder's manifest names, and the manifest; of a model without one, all files."""
    files = _listed(uri)
    manifest = known_manifest(uri, {"checkpoint": CHECKPOINT, "dataset": DATASET, "examples": EXAMPLES}[kind])
    if manifest is not None:
        wanted = {*manifest["files"], MANIFEST}
        if wanted - files.keys():
            return None
        files = {name: facts for name, facts in files.items() if name in wanted}
    elif kind != "checkpoint" or not files:
        return None
    return Item(kind, uri, files, f"{FOLDERS[kind]}/{fingerprint(uri)}")


def _listed(uri: str) -> dict[str, tuple[int, int]]:
    prefix = storage.absolute(uri).rstrip("/") + "/"
    return {name.removeprefix(prefix): (size, modified) for name, size, modified in storage.find_files(uri)}
