"""Bring a backup's files to a new place, every hash checked, and its versions into an empty
registry, as they were.
"""

import json
from collections.abc import Iterator, Mapping

from medembed import storage
from medembed.artifact import read_manifest
from medembed.custody.copies import copy_file, hash_file
from medembed.custody.kinds import (
    ARTIFACTS,
    FACTS,
    FOLDERS,
    OURS,
    RUN,
    BackupManifest,
    Copied,
    is_of_run,
    size_of,
)
from medembed.custody.names import PART
from medembed.custody.places import files_below
from medembed.errors import ServiceError, StorageError
from medembed.language import to_translate
from medembed.lineage import CheckpointManifest
from medembed.progress import track
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry
from medembed.registry.runs import write_run
from medembed.tags import move

_BEGUN = "restoring"  # tag of a registered model: the backup that is being restored into it
_FILLER = "filler"  # tag of a version that only takes a number that the backup does not have


class Restoration:
    """One backup, on its way to `output` and into a registry.

    files: those of its outputs, by name
    """

    def __init__(self, backup: str, output: str, registry: Registry) -> None:
        """Raises StorageError if no whole backup lies there, or it names what none would."""
        self.backup = backup
        self.output = output
        self.registry = registry
        self.manifest = read_manifest(backup, BackupManifest)
        self.manifest.check_whole(backup)
        self.files: dict[str, Copied] = {}
        for name, copied in self.manifest.copies.items():
            folder = name.split("/")[0]
            if folder not in OURS:
                raise StorageError(
                    "{backup}: its manifest names {name!r}; expected names below {ours}: it was "
                    "damaged or forged; nothing is restored.",
                    backup=backup,
                    name=name,
                    ours=", ".join(OURS),
                )
            if not is_of_run(name):
                self.files[name] = copied

    @property
    def size_bytes(self) -> int:
        """The size of its files."""
        return size_of(self.files.values())

    def restore(self) -> None:
        """Copy the files, then register the versions under the same numbers, aliases last.

        Interrupted, the same call goes on. Raises StorageError for a file that is not what the
        backup's manifest says, here or at `output`, ServiceError if the registry has this model
        already.
        """
        self.registry.check_output(self.output)
        self._check_registry()
        missing = self.files.keys() - self._find_there()
        copies = self._copy(sorted(missing))
        for _ in track(copies, len(missing), to_translate("restore"), to_translate("files")):
            pass
        self._register_all()

    def _check_registry(self) -> None:
        """Raises ServiceError if the model is registered, unless the same restoration began it."""
        name = self.manifest.name
        asked = self.registry.config.model_name
        if asked != name:
            raise ServiceError(
                "registry.model_name: found {asked!r}, but the backup holds {name!r}; give "
                "registry.model_name={name}.",
                asked=asked,
                name=name,
            )
        models = self.registry.client.search_registered_models(filter_string=f"name = '{name}'")
        if not models or models[0].tags.get(_BEGUN) == self.manifest.key:
            return
        if _BEGUN in models[0].tags:
            raise ServiceError(
                "models:/{name}: a restoration into this registry was interrupted, and the backup "
                "has changed since; restore into another registry (registry.workspace or "
                "registry.tracking_uri), so that no number means two models.",
                name=name,
            )
        raise ServiceError(
            "models:/{name}: is registered already, with {count} versions; restore into another "
            "registry (registry.workspace or registry.tracking_uri), so that no number means two "
            "models.",
            name=name,
            count=len(all_versions(self.registry, name)),
        )

    def _find_there(self) -> set[str]:
        """Return the names of files that are at `output`.

        Raises StorageError for files in the folders of a backup that this one does not have so.
        """
        there: set[str] = set()
        for name, file in files_below(self.output).items():
            if name.split("/")[0] not in FOLDERS or PART.search(name):
                continue
            if hash_file(file.uri) != self.files.get(name):
                raise StorageError(
                    "{output}: found {name}, which this backup does not have, or not with this "
                    "content; give a new output, or remove that folder if it is what an "
                    "interrupted restoration has left.",
                    output=self.output,
                    name=name,
                )
            there.add(name)
        return there

    def _copy(self, names: list[str]) -> Iterator[tuple[int, None]]:
        """Copy files, checked by their hashes; yield one unit of work for each."""
        for name in names:
            target = storage.join(self.output, name)
            if copy_file(storage.join(self.backup, name), target) != self.files[name]:
                storage.delete_file(target)
                raise self._damaged(name)
            yield 1, None

    def _register_all(self) -> None:
        client = self.registry.client
        name = self.manifest.name
        versions = self.manifest.versions
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name, tags={_BEGUN: self.manifest.key})
        there = all_versions(self.registry, name)
        newest = int(there[0].version) if there else 0
        for number in range(newest + 1, max(map(int, versions), default=0) + 1):
            self._register(str(number))
        for version in all_versions(self.registry, name):
            if _FILLER in version.tags:
                delete_version(self.registry, version)
        for folder in filter(is_of_run, self.manifest.others):
            self._restore_run(folder, {})
        for alias, version_number in self.manifest.aliases.items():
            client.set_registered_model_alias(name, alias, version_number)
        client.delete_registered_model_tag(name, _BEGUN)

    def _register(self, number: str) -> None:
        """Register the next version, or what takes its number where the backup has none."""
        copied = self.manifest.versions.get(number)
        is_filler = copied is None
        copied = copied or next(iter(self.manifest.versions.values()))
        places: dict[str, str] = {}
        for role, folder in copied.folders.items():
            places[role] = storage.join(self.output, folder)
        run_id = None
        if RUN in places and not is_filler:
            run_id = self._restore_run(copied.folders[RUN], places)
        made = self.registry.client.create_model_version(
            self.manifest.name,
            source=places[CheckpointManifest.role],
            run_id=run_id,
            tags={_FILLER: "true"} if is_filler else move(copied.tags, places),
        )
        if str(made.version) != number:
            raise ServiceError(
                "models:/{name}: the registry gave number {version} instead of "
                "{number}; somebody else registers there, or it has had this model before: "
                "restore into an empty registry.",
                name=self.manifest.name,
                version=made.version,
                number=number,
            )

    def _restore_run(self, folder: str, places: Mapping[str, str]) -> str:
        """Write a run, whose tags name these new places; return its id."""
        contents: dict[str, bytes] = {}
        for name, copied in self.manifest.copies.items():
            if name.startswith(f"{folder}/"):
                uri = storage.join(self.backup, name)
                if hash_file(uri) != copied:
                    raise self._damaged(name)
                contents[name.removeprefix(f"{folder}/")] = storage.read_bytes(uri)
        facts = json.loads(contents.pop(FACTS))
        artifacts = {path.removeprefix(ARTIFACTS): content for path, content in contents.items()}
        return write_run(self.registry, facts, move(facts["tags"], places), artifacts)

    def _damaged(self, name: str) -> StorageError:
        uri = storage.join(self.backup, name)
        return StorageError("{uri}: damaged: it is not what the backup's manifest says.", uri=uri)
