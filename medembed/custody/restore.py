"""Bring a backup's files to a new place, every hash checked, and its versions into an empty
registry, as they were.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.artifact import read_manifest
from medembed.custody.backup import RUNS, check_whole
from medembed.custody.copies import PART, Stamp, copy_file, stamp_of
from medembed.custody.items import FOLDERS
from medembed.custody.kinds import BackupManifest, Copied, CopiedRun, CopiedVersion
from medembed.errors import ServiceError, StorageError
from medembed.progress import track
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry
from medembed.registry.runs import write_run
from medembed.tags import move

_BEGUN = "restoring"  # tag of a registered model: the backup that is being restored into it
# tag of a version that only takes a number which the backup does not have
_PLACEHOLDER = "placeholder"


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
    check_whole(backup, manifest)
    registry.check_output(output)
    _check_registry(registry, manifest)
    files = {}
    for name, copied in manifest.copies.items():
        folder = name.split("/")[0]
        if folder not in (RUNS, *FOLDERS.values()):
            raise StorageError(
                f"{backup}: its manifest names {name!r}; expected names below "
                f"{', '.join(FOLDERS.values())}: it was damaged or forged; nothing is restored."
            )
        if folder != RUNS:
            files[name] = copied
    _check_output(output, files)
    size = sum(copied.bytes for copied in files.values())
    new = sum(track(_copy_all(backup, output, files), len(files), "restore", "files"))
    _Registration(registry, backup, output, manifest).run()
    return Restored(len(manifest.versions), len(files), size, new)


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


def _check_output(output: str, files: Mapping[str, Copied]) -> None:
    """Raises StorageError for files in the folders of a backup that this one does not have so."""
    prefix = output.rstrip("/") + "/"
    for uri, size, _ in storage.find_files(output):
        name = uri.removeprefix(prefix)
        is_in_ours = name.split("/")[0] in FOLDERS.values() and not name.endswith(PART)
        if is_in_ours and (name not in files or files[name].bytes != size):
            raise _other(output, name)


def _copy_all(backup: str, output: str, files: Mapping[str, Copied]) -> Iterator[tuple[int, bool]]:
    """Copy the files that are not there; yield of each whether it was copied."""
    for name, copied in files.items():
        source = storage.join(backup, name)
        target = storage.join(output, name)
        stamp = Stamp(copied.hash, copied.bytes)
        is_new = not storage.exists(target)
        if not is_new and stamp_of(target) != stamp:
            raise _other(output, name)
        if is_new and copy_file(source, target) != stamp:
            storage.delete_file(target)
            raise StorageError(
                f"{source}: damaged: it is not what the backup's manifest says; nothing is "
                "registered."
            )
        yield 1, is_new


def _other(output: str, name: str) -> StorageError:
    return StorageError(
        f"{output}: found {name}, which this backup does not have, or not with this content; give "
        "a new output, or remove that folder if it is what an interrupted restoration has left."
    )


@dataclass(frozen=True)
class _Registration:
    """Registers what was brought to `output`."""

    registry: Registry
    backup: str
    output: str
    manifest: BackupManifest

    def run(self) -> None:
        """Register versions in order; placeholders fill gaps in the numbers, and then go."""
        client = self.registry.client
        name = self.manifest.name
        versions = self.manifest.versions
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name, tags={_BEGUN: self.manifest.key})
        newest = max((int(one.version) for one in all_versions(self.registry, name)), default=0)
        for number in range(newest + 1, max(map(int, versions), default=0) + 1):
            self._register(str(number))
        for version in all_versions(self.registry, name):
            if _PLACEHOLDER in version.tags:
                delete_version(self.registry, version)
        for run in self.manifest.runs:
            self._restore_run(run, {})
        for alias, champion in self.manifest.aliases.items():
            client.set_registered_model_alias(name, alias, champion)
        client.delete_registered_model_tag(name, _BEGUN)

    def _register(self, number: str) -> None:
        name = self.manifest.name
        copied = self.manifest.versions.get(number)
        if copied is None:
            first = self._places(next(iter(self.manifest.versions.values())))
            made = self.registry.client.create_model_version(
                name, source=first["checkpoint"], tags={_PLACEHOLDER: "true"}
            )
        else:
            places = self._places(copied)
            run_id = self._restore_run(copied.run, places) if copied.run else None
            made = self.registry.client.create_model_version(
                name,
                source=places["checkpoint"],
                run_id=run_id,
                tags=move(copied.tags, places),
            )
        if str(made.version) != number:
            raise ServiceError(
                f"models:/{name}: the registry gave number {made.version} instead of {number}; "
                "somebody else registers there, or it has had this model before: restore into an "
                "empty registry."
            )

    def _places(self, copied: CopiedVersion) -> dict[str, str]:
        folders = self.manifest.folders
        return {
            kind: storage.join(self.output, folders[part]) for kind, part in copied.parts.items()
        }

    def _restore_run(self, run: CopiedRun, places: Mapping[str, str]) -> str:
        """Write a run, whose tags name these new places; return its id."""
        artifacts = {path: self._read(name) for path, name in run.artifacts.items()}
        facts = json.loads(self._read(run.facts))
        return write_run(self.registry, facts, move(facts["tags"], places), artifacts)

    def _read(self, name: str) -> bytes:
        uri = storage.join(self.backup, name)
        copied = self.manifest.copies[name]
        if stamp_of(uri) != Stamp(copied.hash, copied.bytes):
            raise StorageError(f"{uri}: damaged: it is not what the backup's manifest says.")
        return storage.read_bytes(uri)
