"""What is known of each trial, as JSON beside the search's output: what a search that was
interrupted goes on from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from medembed import storage
from medembed.tuning.space import Point

State = Literal["running", "complete", "stopped", "failed"]
FOLDER, FILE, MODEL = "trials", "trial.json", "model"


@dataclass(frozen=True)
class Measured:
    """A trial's dev score after so many examples, and the metrics of each dimension, {"ndcg@10/64":
    value}.
    """

    examples: int
    objective: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """A trial: its point, how it stands, its course. `reason` says why it failed."""

    number: int
    point: Point
    state: State = "running"
    course: tuple[Measured, ...] = ()
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.state != "running"

    @property
    def best(self) -> Measured | None:
        """Where its dev score was highest, which is where its checkpoint is from."""
        return max(self.course, key=lambda measured: measured.objective, default=None)

    @property
    def score(self) -> float:
        """The highest dev score; below all others where there is none."""
        return self.best.objective if self.best else float("-inf")

    @property
    def examples(self) -> int:
        """Examples seen."""
        return self.course[-1].examples if self.course else 0


def describe(record: Record, examples: int) -> str:
    """How a trial ended, in a few words."""
    if record.state == "failed":
        return f"failed: {record.reason}"
    what = "stopped" if record.state == "stopped" else "trained"
    return f"dev score {record.score:.4f}, {what} at {record.examples:,} of {examples:,} examples"


@dataclass
class Records:
    """All trials of a search by number, each written when it changes."""

    output: str
    known: dict[int, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, output: str) -> "Records":
        """Those that lie there already."""
        records = cls(output)
        root = storage.join(output, FOLDER)
        number = 0
        while storage.exists(storage.join(root, name_of(number), FILE)):
            content = json.loads(storage.read_bytes(storage.join(root, name_of(number), FILE)))
            course = tuple(Measured(**measured) for measured in content.pop("course"))
            records.known[number] = Record(**content, course=course)
            number += 1
        return records

    def write(self, record: Record) -> None:
        self.known[record.number] = record
        place = storage.join(self.output, FOLDER, name_of(record.number), FILE)
        storage.write_bytes(place, json.dumps(asdict(record), indent=2).encode())

    def change(self, number: int, **changes: Any) -> Record:
        """The record with these changes, written."""
        self.write(replace(self.known[number], **changes))
        return self.known[number]

    def best(self) -> Record | None:
        """Of those that were trained to their end the one with the highest dev score, the earliest
        of equals.
        """
        complete = [record for record in self.all() if record.state == "complete"]
        return max(complete, key=lambda record: (record.score, -record.number), default=None)

    def all(self) -> Sequence[Record]:
        """In order of their numbers."""
        return [self.known[number] for number in sorted(self.known)]

    def folder(self, number: int) -> str:
        return storage.join(self.output, FOLDER, name_of(number))


def name_of(number: int) -> str:
    """The folder of a trial."""
    return f"{number:04d}"
