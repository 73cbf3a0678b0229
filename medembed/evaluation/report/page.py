"""What a report shows of models that were measured and compared. Pure.

Holds ids and numbers; a row's text only where `Page.texts` has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from medembed.evaluation.compare import Comparison
from medembed.evaluation.footprint import Footprints
from medembed.evaluation.inspection import Inspection
from medembed.evaluation.metrics import Values, principal_metrics
from medembed.evaluation.recommend import Recommendation
from medembed.evaluation.result import Evaluation, Measured, Scored
from medembed.evaluation.retention.judge import Retention

LISTED = 10  # gains and losses shown with their ids


@dataclass(frozen=True)
class Page:
    """All that the report shows: `evaluations` begins with the model judged.

    Comparison i is with evaluation i + 1. `inspections` are by `Evaluation.name`; a ranking without
    vectors has none. `facts` are (name, value) lines such as fingerprints and counts. `texts`
    {query id: text} is filled only where texts may be shown.
    """

    title: str
    evaluations: Sequence[Evaluation]
    comparisons: Sequence[Comparison] = ()
    inspections: Mapping[str, Inspection] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    recommendation: Recommendation | None = None
    retention: Retention | None = None
    footprints: Footprints | None = None

    @property
    def model(self) -> Evaluation:
        return self.evaluations[0]

    @property
    def objective(self) -> str:
        """The metric that decides; empty where nothing could be measured."""
        if self.comparisons:
            return self.comparisons[0].objective
        measured = self.model.metric_names
        return next(iter(principal_metrics(measured) or measured), "")


class Gain(NamedTuple):
    """A unit under baseline and model."""

    id: str
    before: float
    after: float
    difference: float


class Counts(NamedTuple):
    """How many units are better, equal and worse under the model."""

    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class Gains:
    """The objective of each unit under baseline and model, largest gain first; float64 [n] each."""

    ids: tuple[str, ...]
    before: Values
    after: Values
    dimension: int
    baseline_dimension: int

    @property
    def difference(self) -> Values:
        return self.after - self.before

    @property
    def largest_gains(self) -> list[Gain]:
        return [gain for gain in self._rows(range(len(self.ids))) if gain.difference > 0]

    @property
    def largest_losses(self) -> list[Gain]:
        backwards = range(len(self.ids) - 1, -1, -1)
        return [gain for gain in self._rows(backwards) if gain.difference < 0]

    @property
    def counts(self) -> Counts:
        better = int((self.difference > 0).sum())
        worse = int((self.difference < 0).sum())
        return Counts(better, len(self.ids) - better - worse, worse)

    def _rows(self, order: range) -> list[Gain]:
        rows = []
        for n in order[:LISTED]:
            before = float(self.before[n])
            after = float(self.after[n])
            rows.append(Gain(self.ids[n], before, after, after - before))
        return rows


def find_gains(page: Page) -> Gains | None:
    """Return the objective per unit at the widest dimension, model against first baseline.

    None without a baseline, and for scored pairs, whose correlation has no value per pair.
    """
    if not page.comparisons:
        return None
    before = family_of(page.evaluations[1], page.objective)
    after = family_of(page.model, page.objective)
    if not (isinstance(before, Measured) and isinstance(after, Measured)):
        return None
    differences = page.comparisons[0].differences[page.objective]
    dimension = max(differences)
    baseline_dimension = differences[dimension].dimension
    values = before.values[baseline_dimension][page.objective].tolist()
    known = dict(zip(before.units.ids, values, strict=True))
    ids = after.units.ids
    new = after.values[dimension][page.objective]
    old = np.array([known.get(name, np.nan) for name in ids])
    order = np.argsort(old - new, kind="stable")
    order = order[~np.isnan(old[order] + new[order])]
    names = tuple(ids[n] for n in order.tolist())
    return Gains(names, old[order], new[order], dimension, baseline_dimension)


def family_of(evaluation: Evaluation, metric: str) -> Measured | Scored | None:
    """Return the family of an evaluation that the metric belongs to; None if not measured."""
    for family in evaluation.families.values():
        if any(metric in row for row in family.means().values()):
            return family
    return None


def slice_counts(page: Page) -> dict[tuple[str, str], tuple[int, int]]:
    """Return {(kind, name): (units, groups)} of the family that the objective belongs to."""
    family = family_of(page.model, page.objective)
    if family is None:
        return {}
    groups = np.array(family.units.groups)
    counts = {}
    for key, mask in family.units.slices().items():
        counts[key] = (int(mask.sum()), len(set(groups[mask])))
    return counts
