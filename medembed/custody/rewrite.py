"""Files of a finished output changed: a reader sees all the changes or none, and what is replaced is gone afterwards.

Object stores have no rename. So a changed file gets a new name, the manifest is swapped in one write, and then the old
files go; the manifest lists those that are about to go, so that a run after a death between the two removes them.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.errors import StorageError
from medembed.schema import content_hash

LEAVING = "leaving"  # names of files that the manifest names no more and that are to be removed
ERASED = "erased"  # how many rows were removed, and when last
_SUFFIX = re.compile(r"-e[0-9a-f]{8}(?=\.\w+$)")


class Rewrite:
    """The changes of one output, `manifest` being what it has."""

    def __init__(self, uri: str, manifest: Mapping[str, Any]) -> None:
        self.uri, self.manifest = uri, dict(manifest)
        self.new: dict[str, str | None] = {}
        self.rows: dict[str, int] = {}

    def replace(self, name: str, table: pa.Table) -> None:
        """Writes a table in the place of a Parquet file; one without rows takes the file away."""
        if table.num_rows == 0:
            self.new[name] = None
            return
        buffer = storage.parquet_bytes(table)
        self.replace_bytes(name, buffer)
        self.rows[name] = table.num_rows

    def replace_bytes(self, name: str, data: bytes) -> None:
        """Writes bytes in the place of a file."""
        stem, dot, ending = _SUFFIX.sub("", name).rpartition(".")
        new = f"{stem}-e{content_hash(data)[:8]}{dot}{ending}"
        storage.write_bytes(storage.join(self.uri, new), data)
        self.new[name] = new

    def commit(self, entries: Mapping[str, Any]) -> None:
        """Swaps the manifest, with these entries in it, and removes what it no longer names."""
        gone = [name for name, new in self.new.items() if new != name]
        names = [self.new.get(name, name) for name in self.manifest["files"]]
        manifest = self.manifest | {"files": [name for name in names if name]}
        if isinstance(manifest.get("rows"), dict):  # a data set's, by file
            sizes = ((self.new.get(name, name), self.rows.get(name, size)) for name, size in manifest["rows"].items())
            manifest["rows"] = {name: size for name, size in sizes if name}
        write_manifest(self.uri, manifest | dict(entries) | {LEAVING: gone})
        finish(self.uri, manifest | dict(entries) | {LEAVING: gone})


def is_unfinished(manifest: Mapping[str, Any]) -> bool:
    """Whether a run died between swapping the manifest and removing what it no longer names."""
    return LEAVING in manifest


def finish(uri: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Removes what is leaving, and new files that no manifest came to name; returns the manifest."""
    manifest = dict(manifest)
    named, leaving = set(manifest["files"]), set(manifest.pop(LEAVING, ()))
    for name in storage.list_files(uri):
        if name not in named and (name in leaving or _SUFFIX.search(name)):
            storage.delete_file(storage.join(uri, name))
    write_manifest(uri, manifest)
    return manifest


def write_manifest(uri: str, manifest: Mapping[str, Any]) -> None:
    """Puts a manifest in the place of the one that is there, whole or not at all."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    storage.write_bytes(storage.join(uri, MANIFEST), text.encode())


def read_table(uri: str) -> pa.Table:
    """A Parquet or Arrow file. Raises StorageError if it is damaged."""
    if not uri.endswith(".arrow"):
        return storage.read_parquet(uri)
    try:
        return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    except pa.ArrowException:
        raise StorageError(f"{uri}: not a readable Arrow file.") from None


def read_json(uri: str) -> Any:
    """What a JSON file holds. Raises StorageError if it is damaged."""
    try:
        return json.loads(storage.read_bytes(uri))
    except ValueError:
        raise StorageError(f"{uri}: not JSON; the file is damaged.") from None


def arrow_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def today() -> str:
    """The date, as manifests and tags have it."""
    return datetime.now(UTC).date().isoformat()
