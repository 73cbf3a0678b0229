"""Write a folder that appears whole or not at all: its manifest comes last, and names its files.

Object stores have no rename, so readers believe only what a manifest lists. An output's key is the
fingerprint of all that determines it; the same key is found again instead of being made again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from medembed import storage
from medembed.errors import StorageError
from medembed.language import tr
from medembed.lineage import Manifest

MANIFEST = "manifest.json"
_KIND = "kind"
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # by class, as each takes milliseconds to make

M = TypeVar("M", bound=Manifest)
T = TypeVar("T")


def read_manifest(uri: str, kind: type[M]) -> M:
    """Return a finished output's manifest. Raises StorageError if none of this kind is there."""
    entries = _read(uri)
    if entries is None:
        raise StorageError(
            "{uri}: expected a finished {kind}, but found no {manifest} there; give its folder.",
            uri=uri,
            kind=tr(kind.kind),
            manifest=MANIFEST,
        )
    if entries.get(_KIND) != kind.kind:
        raise StorageError(
            "{uri}: expected a {kind}, but found a {other}.",
            uri=uri,
            kind=tr(kind.kind),
            other=tr(str(entries.get(_KIND))),
        )
    return _check(kind, entries, uri)


def read_one_of(uri: str, kinds: Sequence[type[Manifest]]) -> Manifest | None:
    """Return the manifest of an output of one of these kinds. Raises StorageError for damage."""
    entries = _read(uri) or {}
    kind = next((kind for kind in kinds if kind.kind == entries.get(_KIND)), None)
    return _check(kind, entries, uri) if kind else None


def _check(kind: type[M], entries: Mapping[str, Any], uri: str) -> M:
    """Return the manifest. Raises StorageError if it names a file that lies elsewhere."""
    manifest = parse(kind, entries, storage.join(uri, MANIFEST))
    for name in manifest.names:
        storage.join(uri, name)  # refuses a name that leads out of the folder
    return manifest


def parse(kind: type[T], entries: Any, place: str) -> T:
    """Return JSON as a dataclass. Raises StorageError, with the place, for what it cannot be."""
    try:
        if kind not in _ADAPTERS:
            _ADAPTERS[kind] = TypeAdapter(kind)
        checked: T = _ADAPTERS[kind].validate_python(entries)
        return checked
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise StorageError(
            "{place}: {where}: {fault}; the file is damaged.",
            place=place,
            where=where,
            fault=error.errors()[0]["msg"],
        ) from None


def to_entries(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as JSON has it, its kind first and its files last."""
    entries = asdict(manifest)
    files = entries.pop("files")
    return {_KIND: manifest.kind, **entries, "files": files}


def write_manifest(uri: str, manifest: Manifest) -> None:
    """Write a manifest, in place of one that may be there, whole or not at all."""
    text = json.dumps(to_entries(manifest), indent=2, ensure_ascii=False)
    storage.write_bytes(storage.join(uri, MANIFEST), text.encode())


def today() -> str:
    """Return the date, as manifests and tags have it."""
    return datetime.now(UTC).date().isoformat()


def place(uri: str, key: str) -> str:
    """Return where an output goes: "{key}" in the URI becomes the fingerprint of what made it."""
    return uri.replace("{key}", key)


def above_key(uri: str) -> str:
    """Return the folder in which outputs are made: above "{key}", where that is in the URI."""
    before, key, _ = uri.partition("{key}")
    return (before.rpartition("/")[0] if key else uri).rstrip("/")


def find_output(uri: str, kind: type[M], key: str) -> M | None:
    """Return the manifest of the finished output of this key; None if nothing lies there.

    Raises StorageError if something else is there: a job overwrites nothing.
    """
    entries = _read(uri)
    if entries is None:
        return None
    if (entries.get(_KIND), entries.get("key")) != (kind.kind, key):
        raise StorageError(
            "{uri}: already holds a {other} made from other inputs or another config; choose a "
            "new output, or remove it yourself.",
            uri=uri,
            other=tr(str(entries.get(_KIND))),
        )
    return _check(kind, entries, uri)


class NewOutput:
    """Writes an output's files, then its manifest; leaves nothing if `commit` is not reached.

    with NewOutput(uri, key) as output:
        output.write_parquet("part-00000.parquet", table)
        output.commit(ExamplesManifest(counts=...))
    """

    def __init__(self, uri: str, key: str) -> None:
        self.uri = uri
        self.key = key
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

    def commit(self, manifest: M) -> M:
        """Make the output visible; return its manifest, with key and files.

        Raises StorageError if a file of it is gone again.
        """
        missing = set(self.files) - set(storage.list_files(self.uri)) if self.files else set()
        # another run that was making the same, and failed, has removed what both had written
        if missing:
            raise StorageError(
                "{uri}: was removed by another run; run again.",
                uri=storage.join(self.uri, min(missing)),
            )
        manifest = replace(manifest, key=self.key, files=tuple(self.files))
        write_manifest(self.uri, manifest)
        self.committed = True
        # as a reader finds it
        return _check(type(manifest), json.loads(json.dumps(to_entries(manifest))), self.uri)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Nor where another run has finished the same output meanwhile: its files have these names.
        if not self.committed and _read(self.uri) is None:
            for name in self.files:
                storage.delete_file(storage.join(self.uri, name))


def _read(uri: str) -> Mapping[str, Any] | None:
    """Return what a folder's manifest says; None if it has none, empty for what others call so."""
    path = storage.join(uri, MANIFEST)
    if not storage.exists(path):
        return None
    try:
        entries = json.loads(storage.read_bytes(path))
    except ValueError:
        raise StorageError("{path}: not JSON; the file is damaged.", path=path) from None
    return entries if isinstance(entries, dict) else {}
