"""Remember each trial of a search: what an interrupted search continues from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from medembed import storage
from medembed.language import to_translate, tr
from medembed.records import Records
from medembed.tuning.space import Point

_FOLDER = "trials"  # below the output of the search
State = Literal["running", "complete", "stopped", "failed"]
_COUNTS: Mapping[State, str] = {
    "running": to_translate("{count} running"),
    "complete": to_translate("{count} complete"),
    "stopped": to_translate("{count} stopped"),
    "failed": to_translate("{count} failed"),
}
# Keys of what a trial reports; DONE comes last, with its best measurement.
OBJECTIVE = "objective"
EXAMPLES = "examples"
FAILED = "failed"
DONE = "checkpoint"


@dataclass(frozen=True)
class Measured:
    """A trial's dev score after so many examples, and its metrics, {"ndcg@10/64": value}."""

    examples: int
    objective: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrialRecord:
    """A trial: its point, its state, its course. `reason` says why it failed."""

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
        """Return the measurement with the highest dev score: the checkpoint is from there."""
        return max(self.course, key=lambda measured: measured.objective, default=None)

    @property
    def score(self) -> float:
        """Return the highest dev score; below all others where there is none."""
        return self.best.objective if self.best else float("-inf")

    @property
    def examples(self) -> int:
        """Return how many examples were seen."""
        return self.course[-1].examples if self.course else 0


def describe(record: TrialRecord, examples: int) -> str:
    """Return in a few words how a trial ended, of so many examples."""
    if record.state == "failed":
        return tr("failed: {reason}", reason=record.reason)
    message = to_translate("dev score {score:.4f}, trained at {seen:,} of {all:,} examples")
    if record.state == "stopped":
        message = to_translate("dev score {score:.4f}, stopped at {seen:,} of {all:,} examples")
    return tr(message, score=record.score, seen=record.examples, all=examples)


@dataclass
class Trials:
    """All trials of a search by number, each written when it changes."""

    output: str
    known: dict[int, TrialRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, output: str) -> "Trials":
        """Read the trials that the search at `output` has so far."""
        trials = cls(output)
        while content := trials._records.read_json(_name(len(trials.known))):
            course = tuple(Measured(**measured) for measured in content.pop("course"))
            record = TrialRecord(**content, course=course)
            trials.known[record.number] = record
        return trials

    def write(self, record: TrialRecord) -> None:
        self.known[record.number] = record
        self._records.write_json(_name(record.number), asdict(record))

    @property
    def _records(self) -> Records:
        return Records(storage.join(self.output, _FOLDER))

    def change(self, number: int, **changes: Any) -> TrialRecord:
        """Write the record with these changes, and return it."""
        self.write(replace(self.known[number], **changes))
        return self.known[number]

    def best(self) -> TrialRecord | None:
        """Return the trial with the highest dev score, the earliest of equals.

        Only one that was trained to its end counts.
        """
        return max(
            list_complete(self.all()),
            key=lambda record: (record.score, -record.number),
            default=None,
        )

    def count_over(self) -> int:
        return sum(record.is_over for record in self.known.values())

    def all(self) -> Sequence[TrialRecord]:
        """Return all trials in order of their numbers."""
        return sorted(self.known.values(), key=lambda record: record.number)


def count_states(records: Iterable[TrialRecord]) -> Counter[State]:
    """Count the trials in each state, in the order in which the states come."""
    return Counter(record.state for record in records)


def describe_states(records: Iterable[TrialRecord]) -> str:
    """Return "5 complete, 2 stopped"."""
    states = count_states(records).items()
    return ", ".join(tr(_COUNTS[state], count=count) for state, count in states)


def list_complete(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that were trained to their end."""
    return [record for record in records if record.state == "complete"]


def _name(number: int) -> str:
    return f"{number:04d}/trial"


def model_place(output: str, number: int) -> str:
    """Return where a trial's checkpoint lies."""
    return storage.join(output, _FOLDER, f"{number:04d}", "model")
