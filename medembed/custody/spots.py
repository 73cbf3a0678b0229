"""Places that may hold rows: finished outputs, tables, reports, and files of rows that no manifest names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.backup import KIND as BACKUP
from medembed.custody.rewrite import LEAVING, read_json
from medembed.data.dataset import KIND as DATASET
from medembed.encoding.export import KIND as EXPORTED
from medembed.encoding.table import METADATA_KEY, open_lance
from medembed.evaluation.files import KIND as EVALUATION
from medembed.evaluation.retention import FOLDER as RETENTION
from medembed.mining.examples import KIND as EXAMPLES
from medembed.mining.examples import REPORT as MINING

# FILE: of an output that died, or of one that has no manifest. FRAGMENTS: a table that died before it was one.
TABLE, REPORT, FILE, FRAGMENTS, RUN = "table", "report", "file", "fragments", "unfinished run"
KINDS = (DATASET, EXAMPLES, EVALUATION, EXPORTED)
PART = re.compile(r"\.[0-9a-f]{32}\.part$")  # what a process that died has left of a write
_VERSIONS, _FRAGMENT, _PAGE = "/_versions/", re.compile(r"/data/[^/]+\.lance$"), "report.html"
_LEFT = re.compile(rf"\.parquet$|/nearest/[^/]+\.arrow$|/{re.escape(MINING)}$|{PART.pattern}")
_RUN = re.compile(r".+?\.run(?:-[0-9a-f]{16})?(?=/)")


@dataclass(frozen=True)
class Spot:
    """A folder with a manifest, a table, a file, or the folder of a run that is not finished."""

    uri: str
    kind: str
    manifest: Mapping[str, Any] = field(default_factory=dict)


def search(folder: str) -> Iterator[Spot]:
    """All such places below a folder, or the folder itself; of a folder within an output, all of that.

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
        place, _, file = name.rpartition("/")
        if file == MANIFEST:
            manifest = _read(name)
            claimed.update(f"{place}/{one}" for one in (*(manifest.get("files") or ()), *manifest.get(LEAVING, ())))
            if manifest.get("kind") in (*KINDS, BACKUP):
                yield Spot(place, manifest["kind"], manifest)
    for name in names:
        file = name.rpartition("/")[2]
        if file == _PAGE:
            yield Spot(name, REPORT)
        elif name not in claimed and _LEFT.search(name):
            yield Spot(name, FILE)
    yield from (Spot(uri, TABLE) for uri in tables if is_table(uri))
    yield from (Spot(uri, FRAGMENTS) for uri in sorted(fragments))
    yield from (Spot(uri, RUN) for uri in sorted(runs))


def search_beside(source: str) -> Iterator[Spot]:
    """What was measured beside a checkpoint: of retention, and by a job that has a folder of models."""
    above = source.rstrip("/").rpartition("/")[0]
    if storage.scheme(above) in ("file", *storage.REMOTE):
        yield from search(storage.join(above, RETENTION))
    root, models, _ = source.rpartition("/models/")
    if models and storage.scheme(root) in ("file", *storage.REMOTE):
        yield from search(storage.join(root, "evaluations"))
        yield from search(storage.join(root, _PAGE))


def is_table(uri: str) -> bool:
    """Whether an embedding table of ours lies there; what others made with Lance is none. Raises StorageError."""
    if not storage.find_files(storage.join(uri, "_versions", "*.manifest")):
        return False
    return METADATA_KEY in (open_lance(uri).schema.metadata or {})


def named_in(spot: Spot) -> list[str]:
    """Places that a data set grew from, and the table that examples were mined from."""
    manifest = spot.manifest
    found = [(manifest.get("previous") or {}).get("uri"), (manifest.get("table") or {}).get("uri")]
    found.append(manifest.get("config", {}).get("splits", {}).get("previous") if spot.kind == DATASET else None)
    return [storage.absolute(uri).rstrip("/") for uri in found if uri]


def is_below(uri: str, folders: Sequence[str]) -> bool:
    """Whether a place is one of these folders, or lies in one."""
    return any(f"{uri.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _whole(folder: str) -> str:
    """The folder, or the output or table that it is a part of."""
    above = folder.rpartition("/")[0]
    manifest = storage.join(above, MANIFEST)
    is_part = storage.exists(manifest) and _read(manifest).get("kind") in KINDS
    return above if is_part or storage.exists(storage.join(above, _VERSIONS.strip("/"))) else folder


def _read(uri: str) -> dict[str, Any]:
    """A manifest; empty for what others call so."""
    manifest = read_json(uri)
    return manifest if isinstance(manifest, dict) else {}
