"""Compare two evaluations by metric, dimension, language and tag, and say how sure it is. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.errors import DataError
from medembed.evaluation.bootstrap import (
    Cell,
    Grouping,
    Interval,
    draw_differences,
    intervals,
    mean_cell,
    spearman_cell,
)
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values, is_lower_better, principal_metrics
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored

Family = Measured | Scored
Mask = npt.NDArray[np.bool_]
METRIC = "metric"
NARROW = "narrow"


class DifferenceKey(NamedTuple):
    """Which difference: (metric, "ndcg@10", 256), (narrow, "ndcg@10", 64), (tag, "lay", 256)."""

    kind: str
    name: str
    dimension: int


class Entry(NamedTuple):
    """A cell to compare, and the baseline's dimension in it."""

    key: DifferenceKey
    cell: Cell
    baseline_dimension: int


class FamilyPair(NamedTuple):
    """The same units under two models."""

    before: Family
    after: Family
    grouping: Grouping


@dataclass(frozen=True)
class Difference:
    """`after - before`: the weighted mean over units, or the difference of two correlations.

    `low` to `high` is the 95% interval of this difference alone; `sure_low` to `sure_high` is wide
    enough that all differences of a call hold together in 95% of cases; with fewer than 10 groups
    it is all that the metric allows, -1 to 1 (correlations: -2 to 2). `dimension` is the
    baseline's; NO_VECTORS where there is none.
    """

    before: float
    after: float
    mean: float
    low: float
    high: float
    sure_low: float
    sure_high: float
    units: int
    groups: int
    dimension: int
    is_lower_better: bool = False


@dataclass(frozen=True)
class Comparison:
    """A model against one baseline, on the same units.

    `differences` {metric: {dimension of the model: ...}}. Of the `objective` alone: `narrow`
    {dimension: ...}, the model against the baseline at its widest, `slices` {(language, "fr"):
    {dimension: ...}}, and how many `units` and `groups` it counts.
    """

    model: str
    baseline: str
    objective: str
    differences: Mapping[str, Mapping[int, Difference]]
    narrow: Mapping[int, Difference]
    slices: Mapping[tuple[str, str], Mapping[int, Difference]]
    units: int
    groups: int


def compare(
    before: Values,
    after: Values,
    groups: Sequence[str],
    *,
    samples: int,
    seed: int,
    weights: Values | None = None,
) -> Difference:
    """Compare one metric's means over the same units: before, after and weights float64 [n].

    A unit that is NaN in either does not count. DataError when none counts. Nothing else is
    compared, so that sure_low and sure_high are about low and high.
    """
    cell = mean_cell(before, after, Grouping.of(groups), weights)
    if cell is None:
        raise DataError(
            "{count} values to compare: none counts in both. Compare a metric that applies "
            "to both.",
            count=len(before),
        )
    drawn = draw_differences([cell], samples=samples, seed=seed)
    return _difference(cell, NO_VECTORS, intervals([cell], drawn)[0])


def compare_evaluations(
    before: Evaluation, after: Evaluation, config: EvaluationConfig
) -> Comparison:
    """Compare the principal metrics that both have, at every dimension of `after`.

    Raises DataError if there are none. Where the baseline has not measured a dimension (a narrower
    model, a ranking without vectors), it stands with its widest. Both hold the same units in the
    same order.
    """
    return compare_all([before], after, config)[0]


def compare_all(
    baselines: Sequence[Evaluation], after: Evaluation, config: EvaluationConfig
) -> list[Comparison]:
    """Compare with each baseline as `compare_evaluations` does, sure of all of them together."""
    if not baselines:
        return []
    groupings = _groupings(baselines, after)
    plans = [_plan(before, after, groupings) for before in baselines]
    cells: list[Cell] = []
    for plan in plans:
        cells += [entry.cell for entry in plan]
    # the same draws for all, so that what is sure is so of all together
    drawn = draw_differences(cells, samples=config.bootstrap_samples, seed=config.seed)
    bounds = iter(intervals(cells, drawn))
    comparisons = []
    for before, plan in zip(baselines, plans, strict=True):
        table = {}
        for key, cell, dimension in plan:
            is_lower = is_lower_better(key.name)
            table[key] = _difference(cell, dimension, next(bounds), is_lower)
        comparisons.append(_comparison(before, after, table))
    return comparisons


def _groupings(baselines: Sequence[Evaluation], after: Evaluation) -> dict[str, Grouping]:
    """Return the groups of each family that a baseline has too.

    They are numbered over all families, so that a group is drawn in all or none.
    """
    shared = set[str]().union(*(before.families for before in baselines))
    families = {name: family for name, family in after.families.items() if name in shared}
    groups: list[str] = []
    places: dict[str, slice] = {}
    for name, family in families.items():
        places[name] = slice(len(groups), len(groups) + len(family.units.groups))
        groups += family.units.groups
    grouping = Grouping.of(groups)
    return {name: grouping.take(place) for name, place in places.items()}


def _plan(before: Evaluation, after: Evaluation, groupings: Mapping[str, Grouping]) -> list[Entry]:
    """Return every cell of a comparison that is defined, the objective's first."""
    pairs = _pairs(before, after, groupings)
    metrics = principal_metrics(list(pairs))
    if not metrics:
        raise DataError(
            "{after_uri}: no metric to compare that {before_uri} has. Evaluate both on the "
            "same data, at the same k.",
            after_uri=after.uri,
            before_uri=before.uri,
        )
    plan: list[Entry] = []
    for metric in metrics:
        plan += _entries(pairs[metric], metric, is_objective=metric == metrics[0])
    return plan


def _pairs(
    before: Evaluation, after: Evaluation, groupings: Mapping[str, Grouping]
) -> dict[str, FamilyPair]:
    """Return {metric measured in both: the family that it is of}."""
    old = before.families
    new = after.families
    pairs: dict[str, FamilyPair] = {}
    for name, grouping in groupings.items():
        if name in old:
            assert old[name].units.ids == new[name].units.ids, (
                f"{before.uri} and {after.uri} measured other {name}"
            )
            metrics = _metrics_of(old[name]) & _metrics_of(new[name])
            pairs |= dict.fromkeys(metrics, FamilyPair(old[name], new[name], grouping))
    return pairs


def _metrics_of(family: Family) -> set[str]:
    return set[str]().union(*family.means().values())


def _entries(pair: FamilyPair, metric: str, *, is_objective: bool) -> Iterator[Entry]:
    """Give a metric's cells, widest first."""
    old = _dimensions_of(pair.before, metric)
    slices = pair.after.units.slices() if is_objective else {}
    everything = np.ones(len(pair.after.units.ids), dtype=np.bool_)
    for dimension in _dimensions_of(pair.after, metric):
        baseline = dimension if dimension in old else old[0]
        wanted = [(DifferenceKey(METRIC, metric, dimension), baseline, everything)]
        if is_objective:
            wanted.append((DifferenceKey(NARROW, metric, dimension), old[0], everything))
        for (kind, name), mask in slices.items():
            wanted.append((DifferenceKey(kind, name, dimension), baseline, mask))
        for key, source, mask in wanted:
            cell = _cell(pair, metric, source, dimension, mask)
            if cell is not None:
                yield Entry(key, cell, source)


def _dimensions_of(family: Family, metric: str) -> list[int]:
    """Return the dimensions at which a metric was measured, widest first."""
    return sorted((d for d, row in family.means().items() if metric in row), reverse=True)


def _cell(pair: FamilyPair, metric: str, old: int, new: int, mask: Mask) -> Cell | None:
    """Return the cell of the units in the mask, at the baseline's and the model's dimension."""
    before, after, grouping = pair
    grouping = grouping.take(mask)
    if isinstance(before, Scored) and isinstance(after, Scored):
        similarity = after.similarity[mask]
        return spearman_cell(
            before.cosines[old][mask], after.cosines[new][mask], similarity, grouping
        )
    assert isinstance(before, Measured)
    assert isinstance(after, Measured)
    values = after.values[new][metric]
    weights = after.weight_of(metric, values)[mask]
    return mean_cell(before.values[old][metric][mask], values[mask], grouping, weights)


def _difference(
    cell: Cell, dimension: int, bounds: Interval, is_lower_better: bool = False
) -> Difference:
    return Difference(
        before=cell.before,
        after=cell.after,
        mean=cell.mean,
        **bounds._asdict(),
        units=cell.units,
        groups=cell.groups,
        dimension=dimension,
        is_lower_better=is_lower_better,
    )


def _comparison(
    before: Evaluation, after: Evaluation, table: Mapping[DifferenceKey, Difference]
) -> Comparison:
    differences: dict[str, dict[int, Difference]] = {}
    narrow: dict[int, Difference] = {}
    slices: dict[tuple[str, str], dict[int, Difference]] = {}
    for key, difference in table.items():
        if key.kind == METRIC:
            differences.setdefault(key.name, {})[key.dimension] = difference
        elif key.kind == NARROW:
            narrow[key.dimension] = difference
        else:
            slices.setdefault((key.kind, key.name), {})[key.dimension] = difference
    objective, rows = next(iter(differences.items()))
    widest = rows[max(rows)]
    return Comparison(
        model=after.title,
        baseline=before.title,
        objective=objective,
        differences=differences,
        narrow=narrow,
        slices=slices,
        units=widest.units,
        groups=widest.groups,
    )
