"""Bring a backup's files to a new place, every hash checked, and its versions into an empty
registry, as they were.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.artifact import read_manifest
from medembed.custody.copies import ARTIFACTS, FACTS, copy_file, hash_file
from medembed.custody.kinds import FOLDERS, OURS, RUN, RUNS, BackupManifest, Copied, CopiedVersion
from medembed.custody.names import PART
from medembed.custody.places import plain
from medembed.errors import ServiceError, StorageError
from medembed.lineage import CheckpointManifest
from medembed.progress import track
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry
from medembed.registry.runs import write_run
from medembed.tags import move

_BEGUN = "restoring"  # tag of a registered model: the backup that is being restored into it


@dataclass(frozen=True)
class Restored:
    """What a restoration has done."""

    versions: int
    files: int
    bytes: int
    copied: int


def restore(backup: str, output: str, registry: Registry) -> Restored:
    """Bring a backup to `output` and register its versions under the same numbers, aliases last.

    Interrupted, the same call goes on. Raises StorageError for a file that is not what the backup's
    manifest says, here or at `output`, ServiceError if the registry has this model already.
    """
    manifest = read_manifest(backup, BackupManifest)
    manifest.check_whole(backup)
    registry.check_output(output)
    _check_registry(registry, manifest)
    for name in manifest.copies:
        if name.split("/")[0] not in OURS:
            raise StorageError(
                f"{backup}: its manifest names {name!r}; expected names below "
                f"{', '.join(FOLDERS)}: it was damaged or forged; nothing is restored."
            )
    files = {
        name: copied for name, copied in manifest.copies.items() if not name.startswith(f"{RUNS}/")
    }
    there = _check_output(output, files)
    missing = {name: copied for name, copied in files.items() if name not in there}
    for _ in track(_copy_all(backup, output, missing), len(missing), "restore", "files"):
        pass
    _Registration(registry, backup, output, manifest).run()
    size = sum(copied.bytes for copied in files.values())
    return Restored(len(manifest.versions), len(files), size, len(missing))


def _check_registry(registry: Registry, manifest: BackupManifest) -> None:
    """Raises ServiceError if the model is registered, unless the same restoration began it."""
    name = registry.config.model_name
    if name != manifest.name:
        raise ServiceError(
            f"registry.model_name: found {name!r}, but the backup holds {manifest.name!r}; give "
            f"registry.model_name={manifest.name}."
        )
    models = registry.client.search_registered_models(filter_string=f"name = '{name}'")
    if not models or models[0].tags.get(_BEGUN) == manifest.key:
        return
    state = "a restoration into this registry was interrupted, and the backup has changed since"
    if _BEGUN not in models[0].tags:
        state = f"is registered already, with {len(all_versions(registry, name))} versions"
    raise ServiceError(
        f"models:/{name}: {state}; restore into another registry (registry.workspace or "
        "registry.tracking_uri), so that no number means two models."
    )


def _check_output(output: str, files: Mapping[str, Copied]) -> set[str]:
    """Return the names of the backup's files that are at `output`.

    Raises StorageError for files in the folders of a backup that this one does not have so.
    """
    there: set[str] = set()
    prefix = plain(output) + "/"
    for file in storage.find_files(output):
        name = file.uri.removeprefix(prefix)
        if name.split("/")[0] not in FOLDERS or PART.search(name):
            continue
        if name not in files or hash_file(file.uri) != files[name]:
            raise StorageError(
                f"{output}: found {name}, which this backup does not have, or not with this "
                "content; give a new output, or remove that folder if it is what an interrupted "
                "restoration has left."
            )
        there.add(name)
    return there


def _copy_all(backup: str, output: str, files: Mapping[str, Copied]) -> Iterator[tuple[int, None]]:
    """Copy files, checked by their hashes; yield one unit of work for each."""
    for name, copied in files.items():
        source = storage.join(backup, name)
        target = storage.join(output, name)
        if copy_file(source, target) != copied:
            storage.delete_file(target)
            raise StorageError(
                f"{source}: damaged: it is not what the backup's manifest says; nothing is "
                "registered."
            )
        yield 1, None


@dataclass(frozen=True)
class _Registration:
    """Registers what was brought to `output`."""

    registry: Registry
    backup: str
    output: str
    manifest: BackupManifest

    def run(self) -> None:
        """Register the versions in order, then the other runs, then the aliases."""
        client = self.registry.client
        name = self.manifest.name
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name, tags={_BEGUN: self.manifest.key})
        registered = {version.version for version in all_versions(self.registry, name)}
        for number in sorted(self.manifest.versions.keys() - registered, key=int):
            self._register(number, self.manifest.versions[number])
        for version in all_versions(self.registry, name):
            if version.version not in self.manifest.versions:
                delete_version(self.registry, version)
        for folder in self.manifest.others:
            if folder.startswith(f"{RUNS}/"):
                self._restore_run(folder, {})
        for alias, champion in self.manifest.aliases.items():
            client.set_registered_model_alias(name, alias, champion)
        client.delete_registered_model_tag(name, _BEGUN)

    def _register(self, number: str, copied: CopiedVersion) -> None:
        """Register a version, and as many before it as it takes to get to its number: they go."""
        places = {
            role: storage.join(self.output, folder) for role, folder in copied.folders.items()
        }
        run = copied.folders.get(RUN)
        run_id = self._restore_run(run, places) if run else None
        given = 0
        while given < int(number):
            made = self.registry.client.create_model_version(
                self.manifest.name,
                source=places[CheckpointManifest.role],
                run_id=run_id,
                tags=move(copied.tags, places),
            )
            given = int(made.version)
        if given != int(number):
            raise ServiceError(
                f"models:/{self.manifest.name}: the registry gave number {given} instead of "
                f"{number}; somebody else registers there, or it has had this model before: "
                "restore into an empty registry."
            )

    def _restore_run(self, folder: str, places: Mapping[str, str]) -> str:
        """Write a run, whose tags name these new places; return its id."""
        contents: dict[str, bytes] = {}
        for name, copied in self.manifest.copies.items():
            if name.startswith(f"{folder}/"):
                uri = storage.join(self.backup, name)
                if hash_file(uri) != copied:
                    raise StorageError(
                        f"{uri}: damaged: it is not what the backup's manifest says."
                    )
                contents[name.removeprefix(f"{folder}/")] = storage.read_bytes(uri)
        facts = json.loads(contents.pop(FACTS))
        artifacts = {path.removeprefix(ARTIFACTS): content for path, content in contents.items()}
        return write_run(self.registry, facts, move(facts["tags"], places), artifacts)
