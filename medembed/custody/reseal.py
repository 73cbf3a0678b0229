"""A backup in which something is erased: what is about to change is written into it first, hashes
are made anew last.

Between the two it is not restored.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from medembed import storage
from medembed.artifact import read_manifest, write_manifest
from medembed.custody.copies import stamp_of
from medembed.custody.inventory import known_table
from medembed.lineage import BackupManifest, Copied, CopiedVersion, Source
from medembed.registry.models import Version
from medembed.tags import Lineage


class Reseal:
    """One backup's manifest, while what lies there is changed."""

    def __init__(self, uri: str) -> None:
        """Raises StorageError if no backup lies there."""
        self.uri, self.manifest = uri, read_manifest(uri, BackupManifest)

    @property
    def versions(self) -> list[Version]:
        """The versions that it holds."""
        name = self.manifest.name
        return [
            Version(
                name, number, storage.join(self.uri, one.places["checkpoint"]), one.run_id, one.tags
            )
            for number, one in self.manifest.versions.items()
        ]

    def begin(self, changing: Iterable[str], told: Mapping[str, Lineage]) -> None:
        """Writes into the manifest which of these places it holds, and what versions are told
        {number: lineage}.
        """
        prefix = self.uri.rstrip("/") + "/"
        touched = {place.removeprefix(prefix) for place in changing if place.startswith(prefix)}
        touched.update(self.manifest.erasing or ())
        if touched or told:
            versions = {
                number: replace(one, tags=one.tags | told.get(number, Lineage()).to_tags())
                for number, one in self.manifest.versions.items()
            }
            self.manifest = replace(
                self.manifest, erasing=tuple(sorted(touched)), versions=versions
            )
            write_manifest(self.uri, self.manifest)

    def finish(self) -> None:
        """Gives the manifest the hashes of what has changed, and the numbers of the tables'
        versions.

        What was deleted is in no version any more.
        """
        touched = self.manifest.erasing
        if touched is None:
            return
        copies = self._restamp(touched)
        there = {name.rpartition("/")[0] for name in copies}
        gone = {
            folder
            for folder in touched
            if not any(f"{one}/".startswith(f"{folder}/") for one in there)
        }
        versions = {
            number: self._renew(one, touched, gone)
            for number, one in self.manifest.versions.items()
        }
        tables = {uri: folder for uri, folder in self.manifest.tables.items() if folder not in gone}
        self.manifest = replace(
            self.manifest, erasing=None, copies=copies, versions=versions, tables=tables
        )
        write_manifest(self.uri, self.manifest)

    def _restamp(self, touched: Collection[str]) -> dict[str, Copied]:
        starts = tuple(f"{name}/" for name in touched)
        copies = {
            name: copied
            for name, copied in self.manifest.copies.items()
            if not name.startswith(starts) and name not in touched
        }
        prefix = self.uri.rstrip("/") + "/"
        for place in touched:
            for uri, _, _ in storage.find_files(storage.join(self.uri, place)):
                stamp = stamp_of(uri)
                copies[uri.removeprefix(prefix)] = Copied(stamp.hash, stamp.bytes)
        return copies

    def _renew(
        self, version: CopiedVersion, touched: Collection[str], gone: Collection[str]
    ) -> CopiedVersion:
        """A version without what is gone, and with the new number of its table's version."""
        places = {kind: folder for kind, folder in version.places.items() if folder not in gone}
        folder = places.get("table")
        table = (
            known_table(Source("", storage.join(self.uri, folder)))
            if folder and folder in touched
            else None
        )
        named = Lineage.from_tags(version.tags).table
        moved = replace(named, version=table.version) if named and table else None
        return replace(version, places=places, tags=version.tags | Lineage(table=moved).to_tags())
