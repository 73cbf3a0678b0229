"""Copy registered models with all that they need to a folder elsewhere, whose manifest comes last
and has every hash.

What has changed gets a new folder, and the old one goes after the new manifest is there: until then
the former backup can be restored.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest, write_manifest
from medembed.custody.copies import CopyTo, Part, find_part
from medembed.custody.kinds import BACKED_UP, OURS, RUN, BackupManifest, CopiedVersion, folder_of
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, Source, TableManifest
from medembed.privacy import without_passwords
from medembed.progress import track
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.schema import fingerprint
from medembed.tags import Lineage


@dataclass(frozen=True)
class BackedUp:
    """A finished backup, the names of what this run copied, and lines on what cannot be read now:
    `gone`, or `held` in an earlier backup.
    """

    manifest: BackupManifest
    new: list[str]
    gone: list[str]
    held: list[str]


@dataclass
class _Plan:
    """What is taken along: versions by number, parts, and lines on what cannot be read now."""

    versions: dict[str, CopiedVersion] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
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
    target = CopyTo(to, before.copies)
    plan = _Plan()
    for version in versions:
        _plan_version(version, before, plan)
    others: list[str] = []
    for uri in tables:
        part = find_part(TableManifest, Source("", uri))
        if part is None:
            raise StorageError(f"tables: {uri}: no embedding table there.")
        plan.parts.append(part)
        others.append(part.folder)
    parts = {part.folder: part for part in plan.parts}.values()
    copied = ((len(part.files), target.copy(part)) for part in parts)
    for _ in track(copied, sum(len(part.files) for part in parts), "back up", "files"):
        pass
    for version in versions:
        if version.run_id:
            run = target.copy_run(registry, version.run_id)
            plan.versions[version.version].folders[RUN] = run
    kept = before.versions | plan.versions
    of_versions = {copied.run_id for copied in kept.values()}
    for run_id, artifacts in (runs or {}).items():
        if run_id not in of_versions:
            others.append(target.copy_run(registry, run_id, artifacts))
    manifest = BackupManifest(
        name=registry.config.model_name,
        aliases={alias: number for alias, number in aliases.items() if number in kept},
        versions={number: kept[number] for number in sorted(kept, key=int)},
        others=(*before.others, *others),
        copies=before.copies | target.copies,
    )
    return BackedUp(_commit(manifest, target), target.new, plan.gone, plan.held)


def _open(registry: Registry, to: str) -> BackupManifest:
    """Return the manifest of the backup that lies there, an empty one if none does."""
    if not storage.exists(storage.join(to, MANIFEST)):
        names = storage.list_files(to) if storage.exists(to) else []
        foreign = [name for name in names if name.split("/")[0] not in OURS]
        if foreign:
            raise StorageError(
                f"{to}: expected nothing or a backup, found {foreign[0]!r}; give another place."
            )
        return BackupManifest()
    manifest = read_manifest(to, BackupManifest)
    manifest.check_whole(to)
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


def _plan_version(version: Version, before: BackupManifest, plan: _Plan) -> None:
    """Take a version along, with what there is of it, or is in an earlier backup."""
    earlier = before.versions.get(version.version)
    folders: dict[str, str] = {}
    tags = dict(version.tags)
    checkpoint = Source(version.lineage.encoder or "", version.source)
    sources = {CheckpointManifest.role: checkpoint, **version.lineage.sources}
    for role, source in sources.items():
        if role not in BACKED_UP or source.uri is None:
            continue
        part = find_part(BACKED_UP[role], source)
        if part is not None:
            folders[role] = part.folder
            plan.parts.append(part)
            continue
        number = f" version {source.version}" if source.version is not None else ""
        line = without_passwords(f"{version.reference}: {role} {source.uri}{number}")
        if earlier is None or role not in earlier.folders:
            plan.gone.append(line)
            continue
        plan.held.append(line)
        folders[role] = earlier.folders[role]
        if role == TableManifest.role:  # the version that is in that copy
            tags |= Lineage(table=Lineage.from_tags(earlier.tags).table).to_tags()
    if CheckpointManifest.role not in folders:
        raise StorageError(
            f"{version.reference}: its checkpoint {version.source} is not there, or cannot be "
            "copied; take the version out (medembed prune), or bring the folder back."
        )
    plan.versions[version.version] = CopiedVersion(version.run_id, tags, folders)


def _commit(manifest: BackupManifest, target: CopyTo) -> BackupManifest:
    """Write the manifest with what its versions, tables and runs need, then remove files of ours
    that it does not name.

    Of a part that was copied again all versions have the new copy: what was erased where it lies is
    in the old one.
    """
    newest = {_name_of(folder): folder for folder in map(folder_of, target.copies)}

    def renew(folder: str) -> str:
        return newest.get(_name_of(folder), folder)

    versions = {}
    for number, copied in manifest.versions.items():
        folders = {role: renew(folder) for role, folder in copied.folders.items()}
        versions[number] = replace(copied, folders=folders)
    others = tuple(dict.fromkeys(map(renew, manifest.others)))
    manifest = replace(manifest, versions=versions, others=others)
    used = manifest.folders
    copies = {name: copied for name, copied in manifest.copies.items() if folder_of(name) in used}
    key = fingerprint({name: copied.hash for name, copied in copies.items()})
    manifest = replace(manifest, key=key, copies=copies)
    write_manifest(target.uri, manifest)
    for name in target.there:
        if name not in copies and name.split("/")[0] in OURS:
            storage.delete_file(storage.join(target.uri, name))
    return manifest


def _name_of(folder: str) -> str:
    """Return what stays of a folder's name however the files change."""
    return folder.rpartition("-")[0]
