"""A backup -> its files at a new place, every hash checked, and its versions in an empty registry,
as they were.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.artifact import read_manifest
from medembed.custody.backup import RUNS, check_whole
from medembed.custody.copies import PART, Stamp, copy_file, stamp_of
from medembed.custody.items import FOLDERS
from medembed.errors import ServiceError, StorageError
from medembed.lineage import BackupManifest, Copied, CopiedRun
from medembed.progress import track
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry
from medembed.registry.runs import write_run
from medembed.tags import move

logger = logging.getLogger(__name__)

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
    """Brings a backup to `output` and registers its versions under the same numbers, aliases last.

    Interrupted, the same call goes on. Raises StorageError for a file that is not what the backup's
    manifest says, here or at `output`, ServiceError if the registry has this model already.
    """
    manifest = read_manifest(backup, BackupManifest)
    check_whole(backup, manifest)
    registry.check_output(output)
    check_registry(registry, manifest)
    files = {
        name: facts for name, facts in manifest.copies.items() if not name.startswith(f"{RUNS}/")
    }
    _check_names(backup, files)
    copied = _copy_all(backup, output, files)
    _register(registry, backup, output, manifest)
    size = sum(copied.bytes for copied in files.values())
    return Restored(len(manifest.versions), len(files), size, copied)


def _check_names(backup: str, names: Iterable[str]) -> None:
    """Raises StorageError for a file outside the folders that a backup has."""
    foreign = next((name for name in names if name.split("/")[0] not in FOLDERS.values()), None)
    if foreign is not None:
        raise StorageError(
            f"{backup}: its manifest names {foreign!r}; expected names below "
            f"{', '.join(FOLDERS.values())}: it was damaged or forged; nothing is restored."
        )


def check_registry(registry: Registry, manifest: BackupManifest) -> None:
    """Raises ServiceError if the model is registered, but for what a restoration of the same state
    has begun.
    """
    name = registry.config.model_name
    if name != manifest.name:
        raise ServiceError(
            f"registry.model_name: found {name!r}, but the backup holds {manifest.name!r}; give "
            f"registry.model_name={manifest.name}."
        )
    found = registry.client.search_registered_models(filter_string=f"name = '{name}'")
    begun = found[0].tags.get(_BEGUN) if found else manifest.key
    if begun != manifest.key:
        state = (
            f"is registered already, with {len(all_versions(registry, name))} versions"
            if begun is None
            else (
                "a restoration into this registry was interrupted, and the backup has changed since"
            )
        )
        raise ServiceError(
            f"models:/{name}: {state}; restore into another registry (registry.workspace or "
            "registry.tracking_uri), so that no number means two models."
        )


def _copy_all(backup: str, output: str, files: Mapping[str, Copied]) -> int:
    """How many files were copied; those that are there and right are not, and nothing is written
    over.
    """
    prefix = output.rstrip("/") + "/"
    found = {name.removeprefix(prefix): size for name, size, _ in storage.find_files(output)}
    there = {
        name for name in found if name.split("/")[0] in FOLDERS.values() and not name.endswith(PART)
    }
    for name in sorted(there):
        if name not in files or files[name].bytes != found[name]:
            raise _other(output, name)

    def copies() -> Iterator[tuple[int, bool]]:
        done = 0
        for name, facts in files.items():
            source, target = storage.join(backup, name), storage.join(output, name)
            wanted = Stamp(facts.hash, facts.bytes)
            is_new = name not in there
            if not is_new and stamp_of(target) != wanted:
                raise _other(output, name)
            if is_new and copy_file(source, target) != wanted:
                storage.delete_file(target)
                raise StorageError(
                    f"{source}: damaged: it is not what the backup's manifest says; nothing is "
                    "registered."
                )
            before, done = done, done + wanted.bytes
            yield (done >> 20) - (before >> 20), is_new

    total = sum(copied.bytes for copied in files.values())
    return sum(track(copies(), total >> 20, "restore", "MiB"))


def _other(output: str, name: str) -> StorageError:
    return StorageError(
        f"{output}: found {name}, which this backup does not have, or not with this content; give "
        "a new output, or remove that folder if it is what an interrupted restoration has left."
    )


def _register(registry: Registry, backup: str, output: str, manifest: BackupManifest) -> None:
    """Registers versions in the order of their numbers; gaps are filled by placeholders, which then
    go.
    """
    name, versions = manifest.name, manifest.versions
    if not registry.client.search_registered_models(filter_string=f"name = '{name}'"):
        registry.client.create_registered_model(name, tags={_BEGUN: manifest.key})
    first = max((int(one.version) for one in all_versions(registry, name)), default=0) + 1
    for number in range(first, max(map(int, versions), default=0) + 1):
        one = versions.get(str(number))
        if one is None:
            any_source = storage.join(output, next(iter(versions.values())).places["checkpoint"])
            made = registry.client.create_model_version(
                name, source=any_source, tags={_PLACEHOLDER: "true"}
            )
        else:
            places = {kind: storage.join(output, folder) for kind, folder in one.places.items()}
            tags = move(one.tags, places)
            run_id = _restore_run(registry, backup, one.run, places, manifest) if one.run else None
            source = storage.join(output, one.places["checkpoint"])
            made = registry.client.create_model_version(
                name, source=source, run_id=run_id, tags=tags
            )
        if str(made.version) != str(number):
            raise ServiceError(
                f"models:/{name}: the registry gave number {made.version} instead of {number}; "
                "somebody else registers there, or it has had this model before: restore into an "
                "empty registry."
            )
    for version in all_versions(registry, name):
        if _PLACEHOLDER in version.tags:
            delete_version(registry, version)
    for run in manifest.runs:
        _restore_run(registry, backup, run, {}, manifest)
    for alias, champion in manifest.aliases.items():
        registry.client.set_registered_model_alias(name, alias, champion)
    registry.client.delete_registered_model_tag(name, _BEGUN)


def _restore_run(
    registry: Registry,
    backup: str,
    run: CopiedRun,
    places: Mapping[str, str],
    manifest: BackupManifest,
) -> str:
    """Writes a run, whose tags name these new places; returns its id."""

    def read(name: str) -> bytes:
        uri, wanted = storage.join(backup, name), manifest.copies[name]
        if stamp_of(uri) != Stamp(wanted.hash, wanted.bytes):
            raise StorageError(f"{uri}: damaged: it is not what the backup's manifest says.")
        return storage.read_bytes(uri)

    artifacts = {path: read(name) for path, name in run.artifacts.items()}
    facts = json.loads(read(run.facts))
    return write_run(registry, facts, move(facts["tags"], places), artifacts)
