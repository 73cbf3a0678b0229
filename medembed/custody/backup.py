"""Copy registered models with all that they need to a folder elsewhere, whose manifest comes last
and has every hash.

What has changed gets a new folder, and the old one goes after the new manifest is there: until then
the former backup can be restored.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest, write_manifest
from medembed.custody.copies import Part, copy_file, find_part, hash_file
from medembed.custody.kinds import (
    ARTIFACTS,
    BACKED_UP,
    FACTS,
    OURS,
    RUN,
    RUNS,
    BackupManifest,
    Copied,
    CopiedVersion,
    folder_of,
)
from medembed.custody.places import files_below
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, Source, TableManifest
from medembed.privacy import without_passwords
from medembed.progress import track
from medembed.registry.catalog import all_versions
from medembed.registry.models import Registry, Version
from medembed.registry.runs import list_artifacts, read_artifact, read_run
from medembed.schema import content_hash, fingerprint
from medembed.tags import Lineage


def back_up(
    registry: Registry,
    versions: Sequence[Version],
    aliases: Mapping[str, str],
    to: str,
    tables: Sequence[str] = (),
    runs: Mapping[str, Collection[str]] | None = None,
) -> "Backup":
    """Copy the versions, their runs, the newest version of further `tables`, and further `runs`
    {id: names of the artifacts that are copied}.

    Copies only what `to` has not; what is there of versions that are not among these, or cannot be
    read now, stays. Raises StorageError if something else lies there, or if a checkpoint is gone
    that `to` has not.
    """
    backup = Backup(registry, to)
    for version in versions:
        backup.add(version)
    for uri in tables:
        backup.add_table(uri)
    backup.copy_parts()
    for version in versions:
        if version.run_id:
            run = backup.copy_run(version.run_id)
            backup.versions[version.version].folders[RUN] = run
    of_versions = {copied.run_id for copied in backup.versions.values()}
    for run_id, artifacts in (runs or {}).items():
        if run_id not in of_versions:
            backup.others.append(backup.copy_run(run_id, artifacts))
    backup.commit(aliases)
    return backup


class Backup:
    """A backup while it is made.

    versions, others: what it will have, at first what an earlier run has left
    copies: its files, those included that lay there before
    new: those that were copied now
    gone, held: lines on what cannot be read now; an earlier backup has what is held
    """

    def __init__(self, registry: Registry, to: str) -> None:
        self.registry = registry
        self.uri = to
        self.manifest = _open(registry, to)
        self.versions = dict(self.manifest.versions)
        # runs are copied anew each time: those of candidates that were surely worse
        self.others = [each for each in self.manifest.others if not each.startswith(f"{RUNS}/")]
        self.copies = dict(self.manifest.copies)
        self.new: list[str] = []
        self.gone: list[str] = []
        self.held: list[str] = []
        self._parts: dict[str, Part] = {}
        self._newest: dict[str, str] = {}  # folders by what stays of their names
        self._there = files_below(to)  # those too that an interrupted run has left

    def add(self, version: Version) -> None:
        """Take a version along, with what there is of it, or is in an earlier backup."""
        earlier = self.versions.get(version.version)
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
                self._parts[part.folder] = part
                continue
            number = f" version {source.version}" if source.version is not None else ""
            line = without_passwords(f"{version.reference}: {role} {source.uri}{number}")
            if earlier is None or role not in earlier.folders:
                self.gone.append(line)
                continue
            self.held.append(line)
            folders[role] = earlier.folders[role]
            if role == TableManifest.role:  # the version that is in that copy
                tags |= Lineage(table=Lineage.from_tags(earlier.tags).table).to_tags()
        if CheckpointManifest.role not in folders:
            raise StorageError(
                f"{version.reference}: its checkpoint {version.source} is not there, or cannot be "
                "copied; take the version out (medembed prune), or bring the folder back."
            )
        self.versions[version.version] = CopiedVersion(version.run_id, tags, folders)

    def add_table(self, uri: str) -> None:
        """Take the newest version of a table along."""
        part = find_part(TableManifest, Source("", uri))
        if part is None:
            raise StorageError(f"tables: {uri}: no embedding table there.")
        self._parts[part.folder] = part
        self.others.append(part.folder)

    def copy_parts(self) -> None:
        """Copy the files that are not there yet, while a bar counts them."""
        parts = self._parts.values()
        total = sum(len(part.files) for part in parts)
        for _ in track(map(self._copy, parts), total, "back up", "files"):
            pass

    def _copy(self, part: Part) -> tuple[int, Part]:
        """Copy a part's files that are not there; return how many it has, and the part."""
        self._newest[_name_of(part.folder)] = part.folder
        for file, size in part.files.items():
            name = f"{part.folder}/{file}"
            target = storage.join(self.uri, name)
            known = self.copies.get(name)
            if name not in self._there or self._there[name].size_bytes != size:
                self.copies[name] = copy_file(storage.join(part.uri, file), target)
                self.new.append(name)
            elif known is None or known.bytes != size:
                # of a run that was interrupted; its folder says that it is of the same file
                self.copies[name] = hash_file(target)
        return len(part.files), part

    def copy_run(self, run_id: str, only: Collection[str] | None = None) -> str:
        """Copy a run's facts and its artifacts, by default all; return their folder."""
        facts = json.dumps(read_run(self.registry, run_id), indent=1, sort_keys=True)
        contents = {FACTS: facts.encode()}
        for path in sorted(list_artifacts(self.registry, run_id)):
            if only is None or path in only:
                contents[f"{ARTIFACTS}{path}"] = read_artifact(self.registry, run_id, path)
        hashes = {name: content_hash(content) for name, content in contents.items()}
        folder = f"{RUNS}/{run_id}-{fingerprint(hashes)}"
        self._newest[_name_of(folder)] = folder
        for file, content in contents.items():
            name = f"{folder}/{file}"
            copied = Copied(hashes[file], len(content))
            if name not in self._there or self.copies.get(name, copied) != copied:
                storage.write_bytes(storage.join(self.uri, name), content)
                self.new.append(name)
            self.copies[name] = copied
        return folder

    def commit(self, aliases: Mapping[str, str]) -> None:
        """Write the manifest with what its versions, tables and runs need, then remove files of
        ours that it does not name.

        Of a part that was copied again all versions have the new copy: what was erased where it
        lies is in the old one.
        """
        versions = {}
        for number in sorted(self.versions, key=int):
            copied = self.versions[number]
            folders = {role: self._renew(folder) for role, folder in copied.folders.items()}
            versions[number] = replace(copied, folders=folders)
        manifest = BackupManifest(
            name=self.registry.config.model_name,
            aliases={alias: number for alias, number in aliases.items() if number in versions},
            versions=versions,
            others=tuple(dict.fromkeys(map(self._renew, self.others))),
        )
        used = manifest.folders
        copies = {name: copy for name, copy in self.copies.items() if folder_of(name) in used}
        key = fingerprint({name: copied.hash for name, copied in copies.items()})
        self.manifest = replace(manifest, key=key, copies=copies)
        write_manifest(self.uri, self.manifest)
        for name in self._there:
            if name not in copies and name.split("/")[0] in OURS:
                storage.delete_file(storage.join(self.uri, name))

    def _renew(self, folder: str) -> str:
        return self._newest.get(_name_of(folder), folder)


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
    runs = {version.version: version.run_id for version in all_versions(registry, name)}
    others = [
        number
        for number, copied in manifest.versions.items()
        if manifest.name != name or runs.get(number, copied.run_id) != copied.run_id
    ]
    if others:
        raise StorageError(
            f"{to}: holds a backup of another registry (its models:/{manifest.name}/{others[0]} "
            "is another); give a new place."
        )
    return manifest


def _name_of(folder: str) -> str:
    """Return what stays of a folder's name however the files change."""
    return folder.rpartition("-")[0]
