"""List the files of an output, and copy files by hash: a copy is whole, and equal to what was
read.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.custody.kinds import RUNS, Copied
from medembed.custody.places import plain, read_output
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, Manifest, Source
from medembed.registry.models import Registry
from medembed.registry.runs import list_artifacts, read_artifact, read_run
from medembed.schema import content_hash, fingerprint

FACTS = "run.json"  # of a run, beside
ARTIFACTS = "artifacts/"
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Part:
    """An output with the sizes of its files by name, and the `folder` that a backup gives it.

    The folder is another for other files, so that no copy is written over; its `name` stays.
    """

    uri: str
    folder: str
    files: Mapping[str, int]


def find_part(kind: type[Manifest], source: Source) -> Part | None:
    """Return an output's files; None if one is gone, or cannot be read here."""
    assert source.uri
    try:
        manifest = read_output(source.uri, source.version)
        files = storage.find_files(source.uri)
    except StorageError:
        return None
    prefix = plain(source.uri) + "/"
    stored = {file.uri.removeprefix(prefix): file for file in files}
    if isinstance(manifest, kind):
        names = {*manifest.names, *(stored.keys() & {MANIFEST})}
    elif manifest is None and kind is CheckpointManifest:  # of a model from elsewhere
        names = set(stored)
    else:
        return None
    if not names or not names <= stored.keys():
        return None
    # of another output at the same place the name is another
    name = fingerprint([source.uri, manifest.key if manifest else ""])
    sizes = {file: stored[file].size_bytes for file in names}
    changed = {file: stored[file].written_ns for file in names}
    return Part(source.uri, f"{kind.folder}/{name}-{fingerprint([sizes, changed])}", sizes)


class CopyTo:
    """The folder of a backup, in which files stay that are right.

    before: the copies that an earlier manifest names
    there: {name: size} of what lay there at the start, of interrupted runs too
    copies: all that this run's manifest names
    new: those of them that were copied now
    """

    def __init__(self, uri: str, before: Mapping[str, Copied]) -> None:
        self.uri = uri
        self.before = before
        prefix = plain(uri) + "/"
        self.there: dict[str, int] = {}
        for file in storage.find_files(uri):
            self.there[file.uri.removeprefix(prefix)] = file.size_bytes
        self.copies: dict[str, Copied] = {}
        self.new: list[str] = []

    def copy(self, part: Part) -> None:
        """Copy the files of a part, its manifest after what that names."""
        for file in sorted(part.files, key=lambda file: file == MANIFEST):
            name = f"{part.folder}/{file}"
            target = storage.join(self.uri, name)
            size = part.files[file]
            known = self.before.get(name)
            if self.there.get(name) != size:
                self.copies[name] = copy_file(storage.join(part.uri, file), target)
                self.new.append(name)
            elif known is not None and known.bytes == size:
                self.copies[name] = known
            else:  # of a run that was interrupted; its folder says that it is of the same file
                self.copies[name] = hash_file(target)

    def copy_run(self, registry: Registry, run_id: str, only: Collection[str] | None = None) -> str:
        """Copy a run's facts and its artifacts, by default all; return their folder."""
        facts = json.dumps(read_run(registry, run_id), indent=1, sort_keys=True)
        contents = {FACTS: facts.encode()}
        for path in sorted(list_artifacts(registry, run_id)):
            if only is None or path in only:
                contents[f"{ARTIFACTS}{path}"] = read_artifact(registry, run_id, path)
        hashes = {name: content_hash(content) for name, content in contents.items()}
        folder = f"{RUNS}/{run_id}-{fingerprint(hashes)}"
        for file, content in contents.items():
            name = f"{folder}/{file}"
            copied = Copied(hashes[file], len(content))
            if self.before.get(name, copied) != copied or self.there.get(name) != copied.bytes:
                storage.write_bytes(storage.join(self.uri, name), content)
                self.new.append(name)
            self.copies[name] = copied
        return folder


def hash_file(uri: str) -> Copied:
    """Return a file's hash and size. Raises StorageError if it is not there."""
    with storage.open_input(uri) as file:
        digest = hashlib.file_digest(file, "sha256")
        return Copied(digest.hexdigest()[:32], file.tell())


def copy_file(source: str, target: str) -> Copied:
    """Copy a file in blocks of 16 MiB; the target appears whole or not at all."""
    digest = hashlib.sha256()
    size = 0
    try:
        with storage.open_input(source) as file, storage.open_output(target) as copy:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                copy.write(block)
    except BaseException:
        storage.delete_file(target)  # an object store has what was written so far
        raise
    return Copied(digest.hexdigest()[:32], size)
