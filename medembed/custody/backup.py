"""Copy registered models with all that they need to a folder elsewhere, whose manifest comes last
and has every hash.

What has changed gets a new place, and the old one goes after the new manifest is there: until then
the former backup can be restored.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest, write_manifest
from medembed.custody.chain import name_of
from medembed.custody.copies import CopyTo
from medembed.custody.items import FOLDERS, Item, find_item, sources_of
from medembed.custody.kinds import BackupManifest, CopiedRun, CopiedVersion, Part
from medembed.errors import StorageError
from medembed.lineage import Source
from medembed.privacy import without_passwords
from medembed.progress import track
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.registry.runs import list_artifacts, read_artifact, read_run
from medembed.schema import content_hash, fingerprint
from medembed.tags import Lineage

RUNS = "runs"
_OURS = (RUNS, *FOLDERS.values())


@dataclass(frozen=True)
class BackedUp:
    """A finished backup, what this run copied of it, and lines on what cannot be read now: `gone`,
    or `held` in an earlier backup.
    """

    manifest: BackupManifest
    copied: int
    copied_bytes: int
    gone: list[str]
    held: list[str]


@dataclass
class _Taken:
    """What is taken along: versions by number, items, and lines on what cannot be read now."""

    versions: dict[str, CopiedVersion] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)


def back_up(
    registry: Registry,
    versions: Sequence[Version],
    aliases: Mapping[str, str],
    to: str,
    tables: Sequence[str] = (),
    runs: Mapping[str, Collection[str]] | None = None,
) -> BackedUp:
    """Copy the versions, their runs, the newest version of further `tables`, and further `runs`
    {id: names of the artifacts that are copied}.

    Copies only what `to` has not; what is there of versions that are not among these, or cannot be
    read now, stays. Raises StorageError if something else lies there, or if a checkpoint is gone
    that `to` has not.
    """
    before = _open(registry, to)
    files = CopyTo(to, before.copies)
    taken = _Taken()
    for version in versions:
        _take(version, before, taken)
    further = [_take_table(uri, taken) for uri in tables]
    _copy_items(taken.items, files)
    for version in versions:
        if version.run_id:
            run = _copy_run(files, registry, version.run_id)
            copied = taken.versions[version.version]
            taken.versions[version.version] = replace(copied, run=run)
    kept = before.versions | taken.versions
    of_versions = {copied.run_id for copied in kept.values()}
    others = []
    for run_id, artifacts in (runs or {}).items():
        if run_id not in of_versions:
            others.append(_copy_run(files, registry, run_id, artifacts))
    numbers = sorted(kept, key=int)
    manifest = BackupManifest(
        name=registry.config.model_name,
        aliases={alias: number for alias, number in aliases.items() if number in kept},
        versions={number: kept[number] for number in numbers},
        folders=before.folders | {item.part: item.folder for item in taken.items},
        tables=tuple(dict.fromkeys([*before.tables, *further])),
        runs=tuple(others),
        copies=before.copies | files.copies,
    )
    manifest = _commit(to, manifest, files.there)
    return BackedUp(manifest, files.new, files.new_bytes, taken.gone, taken.held)


def check_whole(uri: str, manifest: BackupManifest) -> None:
    """Raises StorageError for a backup in which an erasure is not finished."""
    if manifest.erasing is not None:
        raise StorageError(
            f"{uri}: an erasure in this backup was interrupted; run the same medembed erase again."
        )


def _open(registry: Registry, to: str) -> BackupManifest:
    """Return the manifest of the backup that lies there, an empty one if none does."""
    if not storage.exists(storage.join(to, MANIFEST)):
        names = storage.list_files(to) if storage.exists(to) else []
        foreign = [name for name in names if name.split("/")[0] not in _OURS]
        if foreign:
            raise StorageError(
                f"{to}: expected nothing or a backup, found {foreign[0]!r}; give another place."
            )
        return BackupManifest()
    manifest = read_manifest(to, BackupManifest)
    check_whole(to, manifest)
    name = registry.config.model_name
    others = ["..."] if manifest.name != name else []
    for version in all_versions(registry, name):
        copied = manifest.versions.get(version.version)
        if copied and copied.run_id != version.run_id:
            others.append(version.version)
    if others:
        raise StorageError(
            f"{to}: holds a backup of another registry (its models:/{manifest.name}/{others[-1]} "
            "is another); give a new place."
        )
    return manifest


def _take(version: Version, before: BackupManifest, taken: _Taken) -> None:
    """Take a version along, with what there is of it, or is in an earlier backup."""
    earlier = before.versions.get(version.version)
    parts: dict[Part, str] = {}
    tags = dict(version.tags)
    for part, source in sources_of(version).items():
        item = find_item(part, source)
        if item is not None:
            parts[part] = item.part
            taken.items.append(item)
            continue
        number = f" version {source.version}" if part == "table" else ""
        line = without_passwords(f"{name_of(version)}: {part} {source.uri}{number}")
        if earlier is None or part not in earlier.parts:
            taken.gone.append(line)
            continue
        taken.held.append(line)
        parts[part] = earlier.parts[part]
        if part == "table":  # the version that is in that copy
            tags |= Lineage(table=Lineage.from_tags(earlier.tags).table).to_tags()
    if "checkpoint" not in parts:
        raise StorageError(
            f"{name_of(version)}: its checkpoint {version.source} is not there, or cannot be "
            "copied; take the version out (medembed prune), or bring the folder back."
        )
    taken.versions[version.version] = CopiedVersion(version.run_id, tags, parts)


def _take_table(uri: str, taken: _Taken) -> str:
    item = find_item("table", Source("", uri))
    if item is None:
        raise StorageError(f"tables: {uri}: no embedding table there.")
    taken.items.append(item)
    return item.part


def _copy_items(items: Sequence[Item], files: CopyTo) -> None:
    """Copy the items' files, a manifest after what it names, while a bar counts them."""
    by_folder = {item.folder: item for item in items}
    total = sum(len(item.files) for item in by_folder.values())

    def copies() -> Iterator[tuple[int, None]]:
        for folder, item in by_folder.items():
            for name in sorted(item.files, key=lambda name: name == MANIFEST):
                files.copy(storage.join(item.uri, name), f"{folder}/{name}", item.files[name])
                yield 1, None

    for _ in track(copies(), total, "back up", "files"):
        pass


def _copy_run(
    files: CopyTo, registry: Registry, run_id: str, only: Collection[str] | None = None
) -> CopiedRun:
    """Copy a run's facts and its artifacts, by default all, to places named by their hashes."""
    folder = f"{RUNS}/{run_id}"
    facts = json.dumps(read_run(registry, run_id), indent=1, sort_keys=True).encode()
    described = f"{folder}/run-{content_hash(facts)}.json"
    files.write(described, facts)
    artifacts: dict[str, str] = {}
    for path in sorted(list_artifacts(registry, run_id)):
        if only is None or path in only:
            content = read_artifact(registry, run_id, path)
            # by its own name: erase looks for that
            artifacts[path] = f"{folder}/{content_hash(content)}/{path}"
            files.write(artifacts[path], content)
    return CopiedRun(described, artifacts)


def _commit(to: str, manifest: BackupManifest, there: Collection[str]) -> BackupManifest:
    """Write the manifest with what its versions, tables and runs need, then remove files of ours
    that it does not name.

    Of a part that was copied again all versions have the new copy: what was erased where it lies is
    in the old one.
    """
    parts = set(manifest.tables)
    runs = list(manifest.runs)
    for version in manifest.versions.values():
        parts.update(version.parts.values())
        runs += [version.run] if version.run else []
    of_runs: set[str] = set()
    for run in runs:
        of_runs.update([run.facts, *run.artifacts.values()])
    folders = {part: manifest.folders[part] for part in sorted(parts)}
    starts = tuple(f"{folder}/" for folder in folders.values())
    copies = {
        name: copied
        for name, copied in manifest.copies.items()
        if name.startswith(starts) or name in of_runs
    }
    key = fingerprint({name: copied.hash for name, copied in copies.items()})
    manifest = replace(manifest, key=key, folders=folders, copies=copies)
    write_manifest(to, manifest)
    for name in there:
        if name not in copies and name.split("/")[0] in _OURS:
            storage.delete_file(storage.join(to, name))
    return manifest
