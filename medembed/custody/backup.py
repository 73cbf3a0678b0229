"""Copy registered models with all that they need to a folder elsewhere, whose manifest comes last
and has every hash.

What has changed gets a new folder, and the old one goes after the new manifest is there: until then
the former backup can be restored.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import filterfalse

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest, write_manifest
from medembed.custody.chain import select_kept
from medembed.custody.copies import OutputFiles, copy_file, find_output_files, hash_file
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
    is_of_run,
    size_of,
)
from medembed.custody.places import files_below
from medembed.errors import ServiceError, StorageError
from medembed.language import to_translate
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
    to: str,
    keep: int | None = None,
    tables: Sequence[str] = (),
    runs: Mapping[str, Collection[str]] | None = None,
) -> "Backup":
    """Copy the versions with an alias and the newest `keep`, all for None, with their runs; the
    newest version of further `tables`, and further `runs` {id: names of the artifacts that are
    copied}.

    Copies only what `to` has not; what is there of versions that are not among these, or cannot be
    read now, stays. Raises ServiceError without a version, StorageError if something else lies
    there, or if a checkpoint is gone that `to` has not.
    """
    name = registry.config.model_name
    versions = all_versions(registry, name)
    aliases = registry.aliases(name)
    if not versions:
        raise ServiceError(
            "models:/{name}: no versions to back up; the jobs train and finetune register them.",
            name=name,
        )
    backup = Backup(registry, to)
    kept = select_kept(versions, aliases, keep)
    for version in kept:
        backup.add(version)
    for uri in tables:
        backup.add_table(uri)
    copies = backup.copy_outputs()
    for _ in track(copies, backup.files, to_translate("back up"), to_translate("files")):
        pass
    for version in kept:
        if version.run_id:
            run = backup.copy_run(version.run_id)
            backup.versions[version.version].folders[RUN] = run
    other_runs = dict(runs or {})
    for copied in backup.versions.values():
        other_runs.pop(copied.run_id, None)
    for run_id, artifacts in other_runs.items():
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
        self._there = files_below(to)  # those too that an interrupted run has left
        self.manifest = _open(registry, to, self._there)
        self.versions = dict(self.manifest.versions)
        # runs are copied anew each time: those of candidates that were surely worse
        self.others = list(filterfalse(is_of_run, self.manifest.others))
        self.copies = dict(self.manifest.copies)
        self.new: list[str] = []
        self.gone: list[str] = []
        self.held: list[str] = []
        self._outputs: dict[str, OutputFiles] = {}
        self._newest: dict[str, str] = {}  # folders by what stays of their names

    @property
    def size_bytes(self) -> int:
        """The size of all its files."""
        return size_of(self.manifest.copies.values())

    @property
    def new_size_bytes(self) -> int:
        """The size of the files that were copied now."""
        return size_of(map(self.manifest.copies.__getitem__, self.new))

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
            output = find_output_files(BACKED_UP[role], source)
            if output is not None:
                folders[role] = output.folder
                self._outputs[output.folder] = output
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
                "{reference}: its checkpoint {source} is not there, or cannot be copied; take "
                "the version out (medembed prune), or bring the folder back.",
                reference=version.reference,
                source=version.source,
            )
        self.versions[version.version] = CopiedVersion(version.run_id, tags, folders)

    def add_table(self, uri: str) -> None:
        """Take the newest version of a table along."""
        output = find_output_files(TableManifest, Source("", uri))
        if output is None:
            raise StorageError("tables: {uri}: no embedding table there.", uri=uri)
        self._outputs[output.folder] = output
        self.others.append(output.folder)

    @property
    def files(self) -> int:
        """How many files its outputs have; those of runs do not count."""
        return sum(map(len, self._outputs.values()))

    def copy_outputs(self) -> Iterator[tuple[int, None]]:
        """Copy the files that are not there yet; yield one unit of work for each file."""
        for output in self._outputs.values():
            self._newest[_name_of(output.folder)] = output.folder
            for file, size in output.sizes.items():
                name = f"{output.folder}/{file}"
                target = storage.join(self.uri, name)
                known = self.copies.get(name)
                if name not in self._there or self._there[name].size_bytes != size:
                    self.copies[name] = copy_file(storage.join(output.uri, file), target)
                    self.new.append(name)
                elif known is None or known.bytes != size:
                    # of a run that was interrupted; its folder says that it is of the same file
                    self.copies[name] = hash_file(target)
                yield 1, None

    def copy_run(self, run_id: str, only: Collection[str] | None = None) -> str:
        """Copy a run's facts and its artifacts, by default all; return their folder."""
        facts = json.dumps(read_run(self.registry, run_id), indent=1, sort_keys=True)
        contents = {FACTS: facts.encode()}
        for path in sorted(list_artifacts(self.registry, run_id)):
            if only is None or path in only:
                contents[f"{ARTIFACTS}{path}"] = read_artifact(self.registry, run_id, path)
        hashes = dict(zip(contents, map(content_hash, contents.values()), strict=True))
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
        copies: dict[str, Copied] = {}
        hashes: dict[str, str] = {}
        for name, copied_file in self.copies.items():
            if folder_of(name) in used:
                copies[name] = copied_file
                hashes[name] = copied_file.hash
        self.manifest = replace(manifest, key=fingerprint(hashes), copies=copies)
        write_manifest(self.uri, self.manifest)
        for name in self._there:
            if name not in copies and name.split("/")[0] in OURS:
                storage.delete_file(storage.join(self.uri, name))

    def _renew(self, folder: str) -> str:
        return self._newest.get(_name_of(folder), folder)


def _open(registry: Registry, to: str, there: Collection[str]) -> BackupManifest:
    """Return the manifest of the backup that lies there, an empty one if none does."""
    if MANIFEST not in there:
        for name in there:
            if name.split("/")[0] not in OURS:
                raise StorageError(
                    "{uri}: expected nothing or a backup, found {name!r}; give another place.",
                    uri=to,
                    name=name,
                )
        return BackupManifest()
    manifest = read_manifest(to, BackupManifest)
    manifest.check_whole(to)
    model = registry.config.model_name
    runs = {version.version: version.run_id for version in all_versions(registry, model)}
    for number, copied in manifest.versions.items():
        if manifest.name != model or runs.get(number, copied.run_id) != copied.run_id:
            raise StorageError(
                "{uri}: holds a backup of another registry (its models:/{model}/{number} "
                "is another); give a new place.",
                uri=to,
                model=manifest.name,
                number=number,
            )
    return manifest


def _name_of(folder: str) -> str:
    """Return what stays of a folder's name however the files change."""
    return folder.rpartition("-")[0]
