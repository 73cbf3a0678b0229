"""Places that may hold rows: data sets, examples, evaluations, exported vectors, tables and reports."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.places import places_of
from medembed.data.dataset import KIND as DATASET
from medembed.encoding.export import KIND as EXPORTED
from medembed.encoding.table import find_table
from medembed.errors import StorageError
from medembed.evaluation.files import KIND as EVALUATION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.registry.models import Version

TABLE, REPORT = "table", "report"
KINDS = (DATASET, EXAMPLES, EVALUATION, EXPORTED)
_VERSIONS, _PAGE = "/_versions/", "report.html"


@dataclass(frozen=True)
class Spot:
    """A folder with a manifest, a table, or a report's file."""

    uri: str
    kind: str
    manifest: Mapping[str, Any] = field(default_factory=dict)


def search(folder: str) -> Iterator[Spot]:
    """All such places below a folder, or the folder itself."""
    names = [uri for uri, _, _ in storage.find_files(folder)]
    for uri in names:
        place, _, name = uri.rpartition("/")
        if name == MANIFEST:
            yield from _spots_at(place)
        elif name == _PAGE:
            yield Spot(uri, REPORT)
    for uri in sorted({name.partition(_VERSIONS)[0] for name in names if _VERSIONS in name}):
        if is_table(uri):
            yield Spot(uri, TABLE)


def of_versions(versions: Iterable[Version]) -> Iterator[Spot]:
    """The places that versions name, those that these name in turn, and what was measured beside their checkpoints."""
    todo: list[str] = []
    for version in versions:
        todo += places_of(version).data
        root, models, _ = version.source.rpartition("/models/")
        if models and storage.scheme(root) in ("file", *storage.REMOTE):
            yield from search(storage.join(root, "evaluations"))
            yield from search(storage.join(root, _PAGE))
    seen: set[str] = set()
    while todo:
        uri = storage.absolute(todo.pop())
        if uri in seen:
            continue
        seen.add(uri)
        for spot in _spots_at(uri):
            todo += _named_in(spot)
            yield spot


def is_table(uri: str) -> bool:
    """Whether an embedding table of ours lies there; what others made with Lance is none."""
    try:
        return find_table(uri) is not None
    except StorageError:
        return False


def _spots_at(uri: str) -> Iterator[Spot]:
    """The place at a URI, if it is one. Raises StorageError if it cannot be reached: nothing is skipped in silence."""
    path = storage.join(uri, MANIFEST)
    if storage.exists(path):
        try:
            manifest = json.loads(storage.read_bytes(path))
        except ValueError:
            raise StorageError(f"{path}: not JSON; the file is damaged.") from None
        if isinstance(manifest, dict) and manifest.get("kind") in KINDS:
            yield Spot(uri, manifest["kind"], manifest)
    elif is_table(uri):
        yield Spot(uri, TABLE)


def _named_in(spot: Spot) -> list[str]:
    """Places that a data set grew from, and the table that examples were mined from."""
    manifest = spot.manifest
    found = [(manifest.get("previous") or {}).get("uri"), (manifest.get("table") or {}).get("uri")]
    found.append(manifest.get("config", {}).get("splits", {}).get("previous") if spot.kind == DATASET else None)
    return [uri for uri in found if uri]
