"""Erase in a backup: its manifest says first what is about to change, and gets the new hashes last.

Between the two it is not restored.
"""

from collections.abc import Iterable
from dataclasses import replace

from medembed import storage
from medembed.artifact import read_manifest, write_manifest
from medembed.custody.copies import stamp_of
from medembed.custody.inventory import is_below, known_table
from medembed.custody.kinds import BackupManifest, Copied, CopiedVersion
from medembed.custody.learned import Learned
from medembed.lineage import Source
from medembed.registry.models import Version
from medembed.tags import Lineage


class BackupErasure:
    """One backup's manifest, while what lies there is changed."""

    def __init__(self, uri: str) -> None:
        """Raises StorageError if no backup lies there."""
        self.uri = uri
        self.manifest = read_manifest(uri, BackupManifest)

    @property
    def versions(self) -> list[Version]:
        """The versions that it holds."""
        versions = []
        for number, copied in self.manifest.versions.items():
            source = storage.join(self.uri, self.manifest.folders[copied.parts["checkpoint"]])
            versions.append(Version(self.manifest.name, number, source, copied.run_id, copied.tags))
        return versions

    def begin(self, changing: Iterable[str], learned: Learned) -> None:
        """Say in the manifest what is about to change, and have versions tell of erased rows."""
        prefix = self.uri.rstrip("/") + "/"
        erasing = set(self.manifest.erasing or ())
        erasing.update(uri.removeprefix(prefix) for uri in changing if uri.startswith(prefix))
        versions = dict(self.manifest.versions)
        for number, copied in versions.items():
            if note := learned.note(Lineage.from_tags(copied.tags)):
                versions[number] = replace(copied, tags=copied.tags | note.to_tags())
        if erasing or versions != self.manifest.versions:
            self.manifest = replace(
                self.manifest, erasing=tuple(sorted(erasing)), versions=versions
            )
            write_manifest(self.uri, self.manifest)

    def finish(self) -> None:
        """Give the manifest the hashes of what has changed, and the numbers of the tables'
        versions; what was deleted is in no version any more.
        """
        erasing = self.manifest.erasing
        if erasing is None:
            return
        copies = {
            name: copied
            for name, copied in self.manifest.copies.items()
            if not is_below(name, erasing)
        }
        prefix = self.uri.rstrip("/") + "/"
        for place in erasing:
            for uri, _, _ in storage.find_files(storage.join(self.uri, place)):
                stamp = stamp_of(uri)
                copies[uri.removeprefix(prefix)] = Copied(stamp.hash, stamp.bytes)
        folders = {
            part: folder
            for part, folder in self.manifest.folders.items()
            if any(is_below(name, [folder]) for name in copies)
        }
        versions = {}
        for number, copied in self.manifest.versions.items():
            parts = {part: name for part, name in copied.parts.items() if name in folders}
            versions[number] = self._renew(replace(copied, parts=parts), folders)
        tables = tuple(part for part in self.manifest.tables if part in folders)
        self.manifest = replace(
            self.manifest,
            erasing=None,
            copies=copies,
            folders=folders,
            versions=versions,
            tables=tables,
        )
        write_manifest(self.uri, self.manifest)

    def _renew(self, version: CopiedVersion, folders: dict[str, str]) -> CopiedVersion:
        """Give a version the number of its table's version, which an erasure has changed."""
        named = Lineage.from_tags(version.tags).table
        if named is None or "table" not in version.parts:
            return version
        place = storage.join(self.uri, folders[version.parts["table"]])
        table = known_table(Source("", place))
        moved = replace(named, version=table.version) if table else named
        return replace(version, tags=version.tags | Lineage(table=moved).to_tags())
