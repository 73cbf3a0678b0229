"""A backup in which something is erased: what is about to change is written into it first, hashes are made anew last.

Between the two it is not restored.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST, read_manifest
from medembed.custody.backup import KIND
from medembed.custody.copies import stamp_of
from medembed.custody.places import known_table
from medembed.custody.rewrite import write_manifest
from medembed.registry.models import Version

_ERASING = "erasing"  # entry of a backup's manifest: what is being changed in it


class Reseal:
    """One backup's manifest, while what lies there is changed."""

    def __init__(self, uri: str) -> None:
        """Raises StorageError if no backup lies there."""
        self.uri, self.manifest = uri, read_manifest(uri, KIND)

    @property
    def versions(self) -> list[Version]:
        """The versions that it holds."""
        name = self.manifest["name"]
        return [
            Version(name, number, storage.join(self.uri, one["places"]["checkpoint"]), one["run_id"], one["tags"])
            for number, one in self.manifest["versions"].items()
        ]

    def begin(self, changing: Iterable[str], tags: Mapping[str, Mapping[str, str]]) -> None:
        """Writes into the manifest which of these places it holds, and new tags {number: tags} of versions."""
        prefix = self.uri.rstrip("/") + "/"
        touched = {place.removeprefix(prefix) for place in changing if place.startswith(prefix)}
        touched |= set(self.manifest.get(_ERASING, ()))
        if touched or tags:
            versions = {
                number: {**one, "tags": {**one["tags"], **tags.get(number, {})}}
                for number, one in self.manifest["versions"].items()
            }
            self.manifest |= {_ERASING: sorted(touched), "versions": versions}
            write_manifest(self.uri, self.manifest)

    def finish(self) -> None:
        """Gives the manifest the hashes of what has changed, and the numbers of the tables' versions."""
        touched = self.manifest.pop(_ERASING, None)
        if touched is not None:
            versions = self.manifest["versions"]
            self.manifest["files"] = dict(self._restamp(touched))
            self.manifest["versions"] = {number: self._renumber(one, touched) for number, one in versions.items()}
            storage.write_bytes(storage.join(self.uri, MANIFEST), json.dumps(self.manifest, indent=1).encode())

    def _restamp(self, touched: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        starts = tuple(f"{name}/" for name in touched)
        pages = set(touched)
        for name, facts in self.manifest["files"].items():
            if not name.startswith(starts) and name not in pages:
                yield name, facts
        prefix = self.uri.rstrip("/") + "/"
        for place in touched:
            for found, _, _ in storage.find_files(storage.join(self.uri, place)):
                stamp = stamp_of(found)
                yield found.removeprefix(prefix), {"hash": stamp.hash, "bytes": stamp.bytes, "modified": 0}

    def _renumber(self, version: Mapping[str, Any], touched: Iterable[str]) -> dict[str, Any]:
        """A version whose table has another number now."""
        folder = version["places"].get("table")
        table = known_table(storage.join(self.uri, folder)) if folder in set(touched) else None
        return dict(version) if table is None else {
            **version, "tags": version["tags"] | {"table_version": str(table.version)},
        }  # fmt: skip
