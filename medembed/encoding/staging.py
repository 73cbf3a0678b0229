"""What a run has finished before its commit: a record per item, in a folder of the table, so that a
rerun skips it.

A record names fragments that are written and that no reader sees yet. The folder is named by all
that determines the items: table version, data set, encoder and storage. A run that dies leaves it;
the commit ends it.
"""

from dataclasses import asdict, dataclass
from typing import Any

from medembed import storage
from medembed.records import Records

FOLDER = "_staging"


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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, entries: dict[str, Any]) -> "Finished":
        facts = entries["encoder"]
        if facts:
            facts = EncoderFacts(**facts | {"dimensions": tuple(facts["dimensions"])})
        return cls(**entries | {"encoder": facts})


def open_staging(uri: str, version: int, key: str) -> Records:
    """Return the records of a run that changes this version of the table at `uri`, 0 for none."""
    return Records(storage.join(uri, FOLDER, f"{version}-{key}"))


def record_finished(staging: Records, number: int, finished: Finished) -> None:
    """Record an item as finished."""
    staging.write_json(f"{number:07d}", finished.to_json())


def read_finished(staging: Records) -> dict[int, Finished]:
    """Return {number: record} of the items that are finished."""
    finished = {}
    for name in staging.names():
        if name.isdecimal():
            finished[int(name)] = Finished.from_json(staging.read_json(name))
    return finished


def clear_staging(uri: str, version: int) -> None:
    """Remove the records of runs that began before this version: they can no longer commit."""
    folder = storage.join(uri, FOLDER)
    if not storage.exists(folder):
        return
    for run in {name.partition("/")[0] for name in storage.list_files(folder)}:
        if int(run.partition("-")[0]) < version:
            storage.delete_folder(storage.join(folder, run))
    storage.delete_empty_folder(folder)
