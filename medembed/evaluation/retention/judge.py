"""Judge which losses on retention sets are sure, from the scores of each query. Pure.

A loss is sure where the paired bootstrap over groups shows that a set loses more than the tolerance
at a dimension, corrected for the number of sets and dimensions (Holm 1979): of many cells one falls
by chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from medembed.evaluation.bootstrap import (
    Cell,
    Grouping,
    chance_of_no_more,
    draw_differences,
    mean_cell,
    one_sided,
)
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.metrics import Values

METRIC = "ndcg@10"
SAMPLES = 2000  # resamples of each set


@dataclass(frozen=True)
class Scores:
    """NDCG@10 of each query of a set, {dimension: float64 [n]}, and the group of each query [n]."""

    values: Mapping[int, Values]
    groups: Sequence[str]

    def at(self, dimension: int) -> Values:
        """Return those at this dimension, or at the widest of a narrower model."""
        return self.values[dimension if dimension in self.values else max(self.values)]


@dataclass(frozen=True)
class Retained:
    """A set at a dimension, before and after; `low` and `high` bound the difference, one side each.

    `chance` is the p-value against a loss of no more than the tolerance; `is_lost` where it is sure
    to be more.
    """

    set: str
    dimension: int
    queries: int
    groups: int
    before: float
    after: float
    mean: float
    low: float
    high: float
    chance: float
    is_lost: bool


@dataclass(frozen=True)
class Against:
    """The model beside a baseline, on every set at every dimension."""

    baseline: str
    rows: tuple[Retained, ...]

    @property
    def lost(self) -> tuple[Retained, ...]:
        """Where it surely loses more than the tolerance."""
        return tuple(row for row in self.rows if row.is_lost)


@dataclass(frozen=True)
class Retention:
    """What a model keeps elsewhere: `means` {set: {model: {dimension: NDCG@10}}}.

    `sizes` {set: (queries, documents)}; `notes` are what to know of the sets.
    """

    model: str
    tolerance: float
    means: Mapping[str, Mapping[str, Mapping[int, float]]]
    against: tuple[Against, ...]
    sizes: Mapping[str, tuple[int, int]]
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "tolerance": self.tolerance,
            METRIC: self.means,
            "against": {
                entry.baseline: [asdict(row) for row in entry.rows] for entry in self.against
            },
            "notes": list(self.notes),
        }

    @property
    def metrics(self) -> dict[str, float]:
        """By name: retention_clinic_ndcg@10_dim_64, and the difference to the first baseline."""
        named: dict[str, float] = {}
        for name, models in self.means.items():
            for dimension, value in models[self.model].items():
                named[f"retention_{name}_{METRIC}_dim_{dimension}"] = value
        for row in self.against[0].rows if self.against else ():
            named[f"retention_{row.set}_difference_dim_{row.dimension}"] = row.mean
        return named


def judge_retained(
    before: Mapping[str, Scores],
    after: Mapping[str, Scores],
    config: RetentionConfig,
    *,
    seed: int = 0,
) -> tuple[Retained, ...]:
    """Judge each set of `after` at each of its dimensions, widest first.

    Both hold the same queries in the same order. Queries that are NaN in either do not count. A set
    without any that counts is left out.
    """
    rows: list[Retained] = []
    for name, scores in after.items():
        cells = _cells(before[name], scores)
        if not cells:
            continue
        drawn = draw_differences(list(cells.values()), samples=SAMPLES, seed=seed)
        for (dimension, cell), draws in zip(cells.items(), drawn.T, strict=True):
            bound = one_sided(cell, draws, config.confidence)
            rows.append(
                Retained(
                    set=name,
                    dimension=dimension,
                    queries=cell.units,
                    groups=cell.groups,
                    before=cell.before,
                    after=cell.after,
                    mean=cell.mean,
                    low=bound.low,
                    high=bound.high,
                    chance=chance_of_no_more(cell, draws, config.tolerance),
                    is_lost=False,
                )
            )
    lost = reject([row.chance for row in rows], 1 - config.confidence)
    return tuple(replace(row, is_lost=sure) for row, sure in zip(rows, lost, strict=True))


def how_far_lost(rows: Sequence[Retained], tolerance: float) -> float:
    """Return how far the worst set falls beyond the tolerance, sure or not; 0 where none does.

    It is the mean over a set's dimensions: what an objective pays for it.
    """
    beyond: dict[str, list[float]] = {}
    for row in rows:
        beyond.setdefault(row.set, []).append(max(0.0, -row.mean - tolerance))
    return max((float(np.mean(losses)) for losses in beyond.values()), default=0.0)


def reject(chances: Sequence[float], level: float) -> list[bool]:
    """Say which hypotheses fall, so that the risk of one wrong among all is `level` (Holm 1979).

    Step down: the smallest p-value must be under level / n, the next under level / (n - 1), until
    one is not.
    """
    fallen = [False] * len(chances)
    for rank, number in enumerate(np.argsort(chances, kind="stable").tolist()):
        if chances[number] > level / (len(chances) - rank):
            break
        fallen[number] = True
    return fallen


def _cells(before: Scores, after: Scores) -> dict[int, Cell]:
    """Return {dimension: the difference} of those where any query counts, widest first."""
    grouping = Grouping.of(after.groups)
    cells: dict[int, Cell] = {}
    for dimension in sorted(after.values, reverse=True):
        cell = mean_cell(before.at(dimension), after.values[dimension], grouping)
        if cell is not None:
            cells[dimension] = cell
    return cells
