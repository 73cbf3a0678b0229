"""Order the rows that training reads: anew in each pass, known from the seed alone. Pure.

Where a run stands is told by examples, not by steps, so that it goes on with any number of workers:
they read on from the same example, in steps of another size.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
_RUNS_SORTED = 16  # runs of rows that are sorted by length together
Arrange = Callable[[np.random.Generator], Indices]


@dataclass(frozen=True)
class Position:
    """The pass, from 0, and how many of its examples are done."""

    epoch: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Stream:
    """Passes over `count` examples, of which a step of all workers together takes `rows`.

    What does not fill a last step of its own is left out of that pass; as each pass has an order of
    its own, other examples are left out of the next. `arrange` makes a pass's order from its
    generator; None: a permutation.
    """

    count: int
    rows: int
    seed: int
    arrange: Arrange | None = field(default=None, compare=False)

    @property
    def left_out(self) -> int:
        """Return how many examples a whole pass leaves out."""
        return self.count % self.rows

    def order(self, epoch: int) -> Indices:
        """Return the examples in the order of a pass, int64 [count].

        PCG64 gives the same on every machine.
        """
        generator = np.random.default_rng((self.seed, epoch))
        if self.arrange is not None:
            return self.arrange(generator)
        return generator.permutation(self.count)

    def steps_left(self, position: Position, epochs: float) -> int:
        """Return the steps from a position to the end of so many passes, the last maybe in part."""
        whole = math.floor(epochs)
        if position.epoch >= whole:
            share = epochs - position.epoch
            return max(0, _ceil(share * (self.count // self.rows) - position.offset / self.rows))
        per_pass = self.count // self.rows
        rest = (self.count - position.offset) // self.rows
        return rest + (whole - position.epoch - 1) * per_pass + _ceil((epochs - whole) * per_pass)

    def walk(self, position: Position) -> Iterator[tuple[Indices, Position]]:
        """Yield (int64 [rows], position after it) of each step from a position on, without end.

        Needs `rows` <= `count`.
        """
        epoch = position.epoch
        offset = position.offset
        order = self.order(epoch)
        while True:
            if offset + self.rows > self.count:
                epoch += 1
                offset = 0
                order = self.order(epoch)
            taken = order[offset : offset + self.rows]
            offset += self.rows
            yield taken, Position(epoch, offset)


@dataclass(frozen=True)
class StepPlan:
    """The steps of a run, or those that are left of one after `done` steps.

    There are `steps` of them, which read `stream` from `start` on. The learning rate follows the
    `total` steps of a run that always has its most workers. `scheduled` of those are done, and each
    step counts for `pace` of them, so that it falls with the examples left, whatever number of
    workers.
    """

    stream: Stream
    steps: int
    total: int
    start: Position = Position()
    done: int = 0
    scheduled: float = 0.0
    pace: float = 1.0

    def scheduled_at(self, step: int) -> float:
        """Return the place in the schedule, up to `total`, after so many steps of the whole run."""
        return min(float(self.total), self.scheduled + (step - self.done) * self.pace)


class Batches:
    """The batches of a plan in turn, lists of row numbers: a DataLoader's batch sampler.

    Each step has one for each worker and accumulated batch.
    """

    drop_last = True

    def __init__(self, plan: StepPlan, batch_size: int) -> None:
        self.plan = plan
        self.batch_size = batch_size

    def __len__(self) -> int:
        return self.plan.steps * (self.plan.stream.rows // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for taken, _ in itertools.islice(self.plan.stream.walk(self.plan.start), self.plan.steps):
            for first in range(0, len(taken), self.batch_size):
                yield taken[first : first + self.batch_size].tolist()


def _ceil(steps: float) -> int:
    """Return the next whole number, where 11.000000000000002 is 11."""
    return math.ceil(round(steps, 6))


def pair_by_class(labels: Sequence[int], generator: np.random.Generator) -> Indices:
    """Return row numbers in pairs of one class, int64 [count_paired(labels)].

    In batches of even size no row is then alone in its class. A class with an odd number of rows
    leaves one of them out, another in each pass.
    """
    order = generator.permutation(len(labels))
    classes = np.asarray(labels)[order]
    by_class = np.argsort(classes, kind="stable")
    _, first, counts = np.unique(classes[by_class], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, counts)
    paired = order[by_class][place < np.repeat(counts - counts % 2, counts)]
    return generator.permutation(paired.reshape(-1, 2)).ravel()


def keep_together(groups: Sequence[str], rows: int, generator: np.random.Generator) -> Indices:
    """Return row numbers so that each run of `rows` is of one group, int64 [len(groups)].

    What does not fill a run of its own stands at the end, mixed, other rows in each pass.
    """
    order = generator.permutation(len(groups))
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1][order]
    runs = []
    rest = []
    for number in range(numbers.max() + 1):
        members = order[numbers == number]
        filled = len(members) - len(members) % rows
        runs.append(members[:filled].reshape(-1, rows))
        rest.append(members[filled:])
    together = generator.permutation(np.concatenate(runs))
    return np.concatenate([together.ravel(), generator.permutation(np.concatenate(rest))])


def group_by_length(lengths: Sequence[int], rows: int, generator: np.random.Generator) -> Indices:
    """Return row numbers so that each run of `rows` has texts of nearly one length, int64 [N].

    A batch is padded to its longest text. Texts are sorted in windows of some runs, so that each
    pass has other runs. What does not fill a run of its own stands at the end.
    """
    order = generator.permutation(len(lengths))
    values = np.asarray(lengths)
    filled = len(order) - len(order) % rows
    runs = []
    for start in range(0, filled, rows * _RUNS_SORTED):
        window = order[start : min(start + rows * _RUNS_SORTED, filled)]
        runs.append(window[np.argsort(values[window], kind="stable")].reshape(-1, rows))
    together = generator.permutation(np.concatenate([np.zeros((0, rows), np.int64), *runs]))
    return np.concatenate([together.ravel(), order[filled:]])


def count_paired(labels: Sequence[int] | Sequence[str]) -> int:
    """Return how many rows `pair_by_class` gives."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return int((counts - counts % 2).sum())
