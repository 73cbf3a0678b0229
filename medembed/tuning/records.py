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
# Of what a trial reports; DONE comes last, with its best measurement.
OBJECTIVE = "objective"
EXAMPLES = "examples"
FAILED = "failed"
DONE = "checkpoint"


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
    """Return in a few words how a trial ended, of so many examples."""
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
        """Read those that lie there already."""
        records = cls(output)
        while storage.exists(file := _file(output, len(records.known))):
            content = json.loads(storage.read_bytes(file))
            course = tuple(Measured(**measured) for measured in content.pop("course"))
            record = Record(**content, course=course)
            records.known[record.number] = record
        return records

    def write(self, record: Record) -> None:
        self.known[record.number] = record
        content = json.dumps(asdict(record), indent=2)
        storage.write_bytes(_file(self.output, record.number), content.encode())

    def change(self, number: int, **changes: Any) -> Record:
        """Write the record with these changes, and return it."""
        self.write(replace(self.known[number], **changes))
        return self.known[number]

    def best(self) -> Record | None:
        """Return the trial with the highest dev score, the earliest of equals.

        Only one that was trained to its end counts.
        """
        complete = [record for record in self.all() if record.state == "complete"]
        return max(complete, key=lambda record: (record.score, -record.number), default=None)

    def all(self) -> Sequence[Record]:
        """Return all trials in order of their numbers."""
        return [self.known[number] for number in sorted(self.known)]


def _file(output: str, number: int) -> str:
    return storage.join(output, "trials", f"{number:04d}", "trial.json")


def model_place(output: str, number: int) -> str:
    """Return where a trial's checkpoint lies."""
    return storage.join(output, "trials", f"{number:04d}", "model")
