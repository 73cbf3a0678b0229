"""Registered models with all that they need -> a folder elsewhere, whose manifest comes last and
has every hash.

What has changed gets a new place, and the old one goes after the new manifest is there: until then
the former backup can be restored.
"""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest, write_manifest
from medembed.custody.chain import name_of
from medembed.custody.copies import Stamp, copy_file, stamp_of
from medembed.custody.items import FOLDERS, Item, items_of, part_of, table_item
from medembed.errors import StorageError
from medembed.lineage import BackupManifest, Copied, CopiedRun, CopiedVersion, Source
from medembed.privacy import without_passwords
from medembed.progress import track
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.registry.runs import list_artifacts, read_artifact, read_run
from medembed.schema import content_hash, fingerprint
from medembed.tags import Lineage

logger = logging.getLogger(__name__)

RUNS = "runs"


@dataclass
class Backup:
    """A backup while it is made.

    `items` {folder: what is copied there}, `files` {name below the backup: its stamp and the
    modification time of what was copied}; further `tables` {URI: folder} and `runs`; `gone` and
    `held`: lines on what cannot be read now, of the latter an earlier backup has a copy.
    """

    uri: str
    before: BackupManifest
    there: Mapping[str, int]
    items: dict[str, Item] = field(default_factory=dict)
    files: dict[str, Copied] = field(default_factory=dict)
    versions: dict[str, CopiedVersion] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    runs: list[CopiedRun] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    copied: int = 0
    copied_bytes: int = 0

    def copy(self, source: str, name: str, size: int, modified: int) -> None:
        """A file, unless it is there already: by the last manifest, or whole from a run that was
        interrupted.
        """
        target, known = storage.join(self.uri, name), self.before.copies.get(name)
        is_there = self.there.get(name) == size
        if is_there and known and (known.bytes, known.modified) == (size, modified):
            stamp = Stamp(known.hash, size)
        elif is_there and (stamp := stamp_of(source)) == stamp_of(target):
            pass
        else:
            stamp = copy_file(source, target)
            self.count(stamp.bytes)
        self.files[name] = Copied(stamp.hash, stamp.bytes, modified)

    def write(self, name: str, content: bytes) -> None:
        """A file of these bytes, unless it is there already."""
        digest, known = content_hash(content), self.before.copies.get(name)
        if known is None or known.hash != digest or self.there.get(name) != len(content):
            storage.write_bytes(storage.join(self.uri, name), content)
            self.count(len(content))
        self.files[name] = Copied(digest, len(content))

    def count(self, size: int) -> None:
        self.copied += 1
        self.copied_bytes += size


def back_up(
    registry: Registry,
    versions: Sequence[Version],
    aliases: Mapping[str, str],
    to: str,
    tables: Sequence[str] = (),
    runs: Mapping[str, Collection[str]] | None = None,
) -> tuple[BackupManifest, Backup]:
    """(the manifest, what was done): copies the versions, their runs, the newest version of further
    `tables`, and further `runs` {id: names of the artifacts that are copied}.

    Copies only what `to` has not; what is there of versions that are not among these, or cannot be
    read now, stays. Raises StorageError if something else lies there, or if a checkpoint is gone
    that `to` has not.
    """
    backup = _open(registry, to)
    for version in versions:
        _take(backup, version)
    for uri in tables:
        item = table_item(Source("", uri))
        if item is None:
            raise StorageError(f"tables: {uri}: no embedding table there.")
        backup.items[item.folder] = item
        backup.tables[uri] = item.folder
    _copy_all(backup)
    for version in versions:
        if version.run_id:
            run = _copy_run(backup, registry, version.run_id)
            backup.versions[version.version] = replace(backup.versions[version.version], run=run)
    known = {one.run_id for one in (backup.before.versions | backup.versions).values()}
    backup.runs = [
        _copy_run(backup, registry, run_id, only)
        for run_id, only in (runs or {}).items()
        if run_id not in known
    ]
    return _commit(backup, registry, aliases), backup


def _open(registry: Registry, to: str) -> Backup:
    manifest = BackupManifest()
    if storage.exists(storage.join(to, MANIFEST)):
        manifest = read_manifest(to, BackupManifest)
        check_whole(to, manifest)
        known = {
            one.version: one.run_id for one in all_versions(registry, registry.config.model_name)
        }
        other = [
            number
            for number, one in manifest.versions.items()
            if known.get(number, one.run_id) != one.run_id
        ]
        if manifest.name != registry.config.model_name or other:
            raise StorageError(
                f"{to}: holds a backup of another registry (its "
                f"models:/{manifest.name}/{(other or ['...'])[0]} is another); give a new place."
            )
    elif storage.exists(to):
        foreign = [
            name
            for name in storage.list_files(to)
            if name.split("/")[0] not in (RUNS, *FOLDERS.values())
        ]
        if foreign:
            raise StorageError(
                f"{to}: expected nothing or a backup, found {foreign[0]!r}; give another place."
            )
    prefix = to.rstrip("/") + "/"
    return Backup(
        to, manifest, {name.removeprefix(prefix): size for name, size, _ in storage.find_files(to)}
    )


def check_whole(uri: str, manifest: BackupManifest) -> None:
    """Raises StorageError for a backup in which an erasure is not finished."""
    if manifest.erasing:
        raise StorageError(
            f"{uri}: an erasure in this backup was interrupted; run the same medembed erase again."
        )


def _take(backup: Backup, version: Version) -> None:
    """Notes a version, what there is of it to copy, and what an earlier backup has of the rest."""
    found, gone = items_of(version)
    before = backup.before.versions.get(version.version)
    held = {kind: before.places[kind] for kind in gone if kind in before.places} if before else {}
    places = dict[str, str]({kind: item.folder for kind, item in found.items()}, **held)
    tags = dict(version.tags)
    if "checkpoint" not in places:
        raise StorageError(
            f"{name_of(version)}: its checkpoint {version.source} is not there, or cannot be "
            "copied; take the version out (medembed prune), or bring the folder back."
        )
    if before and "table" in held:  # the version that is in that copy
        tags |= Lineage(table=Lineage.from_tags(before.tags).table).to_tags()
    for kind, place in gone.items():
        line = without_passwords(f"{name_of(version)}: {kind} {place}")
        (backup.held if kind in held else backup.gone).append(line)
    backup.items |= {item.folder: item for item in found.values()}
    backup.versions[version.version] = CopiedVersion(
        version=version.version,
        source=version.source,
        run_id=version.run_id,
        tags=tags,
        places=places,
    )


def _copy_all(backup: Backup) -> None:
    """Copies the items' files, a manifest after what it names, while a bar counts MiB."""
    total = sum(size for item in backup.items.values() for size, _ in item.files.values())

    def copies() -> Iterator[tuple[int, None]]:
        done = 0
        for folder, item in backup.items.items():
            for name in sorted(item.files, key=lambda name: name == MANIFEST):
                size, modified = item.files[name]
                backup.copy(storage.join(item.uri, name), f"{folder}/{name}", size, modified)
                before, done = done, done + size
                yield (done >> 20) - (before >> 20), None

    for _ in track(copies(), total >> 20, "back up", "MiB"):
        pass


def _copy_run(
    backup: Backup, registry: Registry, run_id: str, only: Collection[str] | None = None
) -> CopiedRun:
    """A run's facts and its artifacts, by default all, in places named by their hashes."""
    facts = json.dumps(read_run(registry, run_id), indent=1, sort_keys=True).encode()
    folder = f"{RUNS}/{run_id}"
    described, artifacts = f"{folder}/run-{content_hash(facts)}.json", dict[str, str]()
    backup.write(described, facts)
    for path in sorted(
        path for path in list_artifacts(registry, run_id) if only is None or path in only
    ):
        content = read_artifact(registry, run_id, path)
        # by its own name: erase looks for that
        artifacts[path] = f"{folder}/{content_hash(content)}/{path}"
        backup.write(artifacts[path], content)
    return CopiedRun(described, artifacts)


def _commit(backup: Backup, registry: Registry, aliases: Mapping[str, str]) -> BackupManifest:
    """Writes the manifest, then removes files of ours that it does not name.

    Of a part that was copied again all versions name the new copy: what was erased where it lies is
    in the old one.
    """
    newest = {part_of(folder): folder for folder in backup.items}

    def renew(places: Mapping[str, str]) -> dict[str, str]:
        return {name: newest.get(part_of(folder), folder) for name, folder in places.items()}

    numbered = sorted(
        (backup.before.versions | backup.versions).items(), key=lambda row: int(row[0])
    )
    versions = {number: replace(one, places=renew(one.places)) for number, one in numbered}
    tables = renew(backup.before.tables | backup.tables)
    folders = {
        *tables.values(),
        *(folder for one in versions.values() for folder in one.places.values()),
    }
    staying = tuple(f"{folder}/" for folder in folders - backup.items.keys())
    runs = {
        name
        for one in versions.values()
        if one.run
        for name in (one.run.facts, *one.run.artifacts.values())
    }
    copies = {
        name: copied
        for name, copied in backup.before.copies.items()
        if name in runs or name.startswith(staying)
    } | backup.files
    manifest = BackupManifest(
        key=fingerprint({name: copied.hash for name, copied in copies.items()}),
        name=registry.config.model_name,
        aliases={alias: number for alias, number in aliases.items() if number in versions},
        versions=versions,
        tables=tables,
        runs=tuple(backup.runs),
        gone=tuple(backup.gone),
        copies=copies,
    )
    write_manifest(backup.uri, manifest)
    for name in backup.there.keys() - copies.keys():
        if name.split("/")[0] in (RUNS, *FOLDERS.values()):
            storage.delete_file(storage.join(backup.uri, name))
    return manifest
