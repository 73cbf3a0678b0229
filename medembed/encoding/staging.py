"""What a run has finished before its commit: a record per item, beside the table, so that a rerun
skips it.

A record names fragments that are written and that no reader sees yet. The folder is named by all
that determines the items: table version, data set, encoder and storage. A run that dies leaves it;
the commit ends it.
"""

import json
from dataclasses import asdict, dataclass

from medembed import storage
from medembed.encoding.quantize import Ranges

FOLDER = "_staging"
_RANGES = "ranges.json"


@dataclass(frozen=True)
class EncoderFacts:
    """What the metadata of a new table say of its encoder, and only a loaded one knows."""

    width: int
    dimensions: tuple[int, ...]
    prompt: str
    max_length: int


@dataclass(frozen=True)
class Finished:
    """A finished item: its fragments as `write_fragment` describes them, and what it took.

    `encoder` is set for a new table. `beyond` counts vectors with values beyond the int8 ranges.
    `padding` are tokens too.
    """

    fragments: str
    encoder: EncoderFacts | None = None
    tokens: int = 0
    padding: int = 0
    beyond: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Finished":
        entries = json.loads(text)
        if entries["encoder"]:
            facts = entries["encoder"]
            entries["encoder"] = EncoderFacts(**facts | {"dimensions": tuple(facts["dimensions"])})
        return cls(**entries)


class Staging:
    """The records of one run's items, under the table at `uri` in this version, 0 for none."""

    def __init__(self, uri: str, version: int, key: str) -> None:
        self.uri = storage.join(uri, FOLDER, f"{version}-{key}")

    def write(self, number: int, finished: Finished) -> None:
        """Record an item as finished; the record appears whole or not at all."""
        name = f"{number:07d}.json"
        storage.write_bytes(storage.join(self.uri, name), finished.to_json().encode())

    def read(self) -> dict[int, Finished]:
        """Return {number: record} of the items that are finished."""
        records: dict[int, Finished] = {}
        names = storage.list_files(self.uri) if storage.exists(self.uri) else []
        for name in names:
            if name.endswith(".json") and name[:7].isdecimal():
                text = storage.read_bytes(storage.join(self.uri, name))
                records[int(name[:7])] = Finished.from_json(text)
        return records

    def write_ranges(self, ranges: Ranges) -> None:
        """Keep what the int8 codes of this run mean."""
        storage.write_bytes(storage.join(self.uri, _RANGES), json.dumps(ranges.to_json()).encode())

    def read_ranges(self) -> Ranges | None:
        """Return the ranges that an earlier run kept, None if it did not come so far."""
        uri = storage.join(self.uri, _RANGES)
        if not storage.exists(uri):
            return None
        return Ranges.from_json(json.loads(storage.read_bytes(uri)))


def clear_staging(uri: str, version: int) -> None:
    """Remove the records of runs that began before this version: they can no longer commit."""
    folder = storage.join(uri, FOLDER)
    if not storage.exists(folder):
        return
    for key in {name.partition("/")[0] for name in storage.list_files(folder)}:
        if int(key.partition("-")[0]) < version:
            storage.delete_folder(storage.join(folder, key))
    storage.delete_empty_folder(folder)
