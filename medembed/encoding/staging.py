"""What a run has finished before its commit: a record per item, beside the table, so that a rerun
skips it.

A record names fragments that are written and that no reader sees yet. The folder is named by all
that determines the items: table version, data set, encoder and storage. A run that dies leaves it;
the commit ends it.
"""

import json
from typing import Any

from medembed import storage
from medembed.encoding.quantize import Ranges

FOLDER = "_staging"
_RANGES = "ranges.json"


def clear_staging(uri: str, version: int) -> None:
    """Removes the records of runs that began before this version of the table: they can no longer
    commit.
    """
    folder = storage.join(uri, FOLDER)
    if storage.exists(folder):
        for key in {name.partition("/")[0] for name in storage.list_files(folder)}:
            if int(key.partition("-")[0]) < version:
                storage.delete_folder(storage.join(folder, key))
        storage.delete_empty_folder(folder)


class Staging:
    """The records of one run's items, under the table at `uri`, of which it saw this version, 0 for
    none.
    """

    def __init__(self, uri: str, version: int, key: str) -> None:
        self.uri = storage.join(uri, FOLDER, f"{version}-{key}")

    def write(self, number: int, record: dict[str, Any]) -> None:
        """Records an item as done; appears whole or not at all."""
        storage.write_bytes(
            storage.join(self.uri, f"{number:07d}.json"), json.dumps(record).encode()
        )

    def read(self) -> dict[int, dict[str, Any]]:
        """{number: record} of the items that are done."""
        if not storage.exists(self.uri):
            return {}
        names = [
            name
            for name in storage.list_files(self.uri)
            if name.endswith(".json") and name[:7].isdecimal()
        ]
        return {
            int(name[:7]): json.loads(storage.read_bytes(storage.join(self.uri, name)))
            for name in names
        }

    def write_ranges(self, ranges: Ranges) -> None:
        """Keeps what int8 codes of this run mean."""
        storage.write_bytes(storage.join(self.uri, _RANGES), json.dumps(ranges.to_json()).encode())

    def read_ranges(self) -> Ranges | None:
        """What an earlier run kept, if it came so far."""
        uri = storage.join(self.uri, _RANGES)
        return (
            Ranges.from_json(json.loads(storage.read_bytes(uri))) if storage.exists(uri) else None
        )
