"""A folder on storage that appears whole or not at all: its manifest is written last, and names its files.

Object stores have no rename, so readers believe only what a manifest lists. An output's key is the
fingerprint of all that determines it; the same key is found again instead of being made again.
"""

import json
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from medembed import storage
from medembed.errors import StorageError

MANIFEST = "manifest.json"


def read_manifest(uri: str, kind: str) -> dict[str, Any]:
    """The manifest of a finished output. Raises StorageError if there is none, or one of another kind."""
    manifest = _load(uri)
    if manifest is None:
        raise StorageError(f"{uri}: expected a finished {kind}, but found no {MANIFEST} there; give its folder.")
    if manifest.get("kind") != kind:
        raise StorageError(f"{uri}: expected a {kind}, but found a {manifest.get('kind')}.")
    return manifest


def place(uri: str, key: str) -> str:
    """Where an output goes: "{key}" in the URI becomes the key, so that one URI serves any inputs and config."""
    return uri.replace("{key}", key)


def find_output(uri: str, kind: str, key: str) -> dict[str, Any] | None:
    """The manifest if the output is finished and was made from the same key, None if nothing is there.

    Raises StorageError if something else is there: a job overwrites nothing.
    """
    manifest = _load(uri)
    if manifest is None:
        return None
    if (manifest.get("kind"), manifest.get("key")) != (kind, key):
        raise StorageError(
            f"{uri}: already holds a {manifest.get('kind')} made from other inputs or another config; "
            "choose a new output, or remove it yourself."
        )
    return manifest


class NewOutput:
    """Writes an output's files, then its manifest; leaves nothing behind if `commit` is not reached.

    with NewOutput(uri, "examples", key) as output:
        output.write_parquet("part-00000.parquet", table)
        output.commit({"counts": ...})
    """

    def __init__(self, uri: str, kind: str, key: str) -> None:
        self.uri, self.kind, self.key = uri, kind, key
        self.files: list[str] = []
        self.committed = False

    def __enter__(self) -> Self:
        return self

    def write_parquet(self, name: str, table: pa.Table) -> None:
        self.files.append(name)
        storage.write_parquet(storage.join(self.uri, name), table)

    def write_bytes(self, name: str, data: bytes) -> None:
        self.files.append(name)
        storage.write_bytes(storage.join(self.uri, name), data)

    def commit(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Makes the output visible; returns its manifest. Raises StorageError if a file of it is gone again."""
        missing = set(self.files) - set(storage.list_files(self.uri)) if self.files else set()
        if missing:  # another run that was making the same, and failed, has removed what both had written
            raise StorageError(f"{storage.join(self.uri, min(missing))}: was removed by another run; run again.")
        manifest = {"kind": self.kind, "key": self.key, **entries, "files": self.files}
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        storage.write_bytes(storage.join(self.uri, MANIFEST), text.encode())
        self.committed = True
        return dict(json.loads(text))  # as a reader will find it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nor where another run has finished the same output meanwhile, whose files have these names.
        if not self.committed and _load(self.uri) is None:
            for name in self.files:
                storage.delete_file(storage.join(self.uri, name))


def _load(uri: str) -> dict[str, Any] | None:
    path = storage.join(uri, MANIFEST)
    if not storage.exists(path):
        return None
    try:
        manifest = json.loads(storage.read_bytes(path))
    except ValueError:
        raise StorageError(f"{path}: not JSON; the file is damaged.") from None
    if not isinstance(manifest, dict):
        return {}
    for name in manifest.get("files", ()):
        storage.join(uri, name)  # refuses a name that leads out of the folder, before anything is read
    return manifest
