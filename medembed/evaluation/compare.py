"""The difference between two evaluations, by metric, dimension, language and tag, and how sure it
is. Pure.
"""

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
from medembed.evaluation.metrics import Values, is_lower_better
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, principal_metrics

Family = Measured | Scored
Mask = npt.NDArray[np.bool_]
METRIC, NARROW = "metric", "narrow"


class Key(NamedTuple):
    """Which difference: (metric, "ndcg@10", 256), (narrow, "ndcg@10", 256), (language, "fr", 256)
    or so.
    """

    kind: str
    name: str
    dimension: int


class Placed(NamedTuple):
    """A cell and the baseline's dimension in it."""

    cell: Cell
    dimension: int


class Pair(NamedTuple):
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
    """The difference of one metric's mean over the same units: before, after and weights float64
    [n], groups [n].

    A unit that is NaN in either does not count. DataError when none counts. Nothing else is
    compared, so that sure_low and sure_high are about low and high.
    """
    names, position = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.ones(len(before)) if weights is None else weights
    cell = mean_cell(before, after, counts, Grouping(position, len(names)))
    if cell is None:
        raise DataError(
            f"{len(before)} values to compare: none counts in both. Compare a metric that "
            "applies to both."
        )
    drawn = draw_differences([cell], samples=samples, seed=seed)
    return _difference(Placed(cell, NO_VECTORS), intervals([cell], drawn)[0])


def compare_evaluations(
    before: Evaluation, after: Evaluation, config: EvaluationConfig
) -> Comparison:
    """The principal metrics that both have measured, at every dimension of `after`. DataError when
    there are none.

    Where the baseline has not measured a dimension (a narrower model, a ranking without vectors),
    it stands with its widest. Both hold the same units in the same order.
    """
    return compare_all([before], after, config)[0]


def compare_all(
    baselines: Sequence[Evaluation], after: Evaluation, config: EvaluationConfig
) -> list[Comparison]:
    """compare_evaluations against each baseline, in order, from the same draws: what is sure is so
    of all together.
    """
    if not baselines:
        return []
    groupings = _groupings(baselines, after)
    plans = [_plan(before, after, groupings) for before in baselines]
    cells = [placed.cell for plan in plans for placed in plan.values()]
    drawn = draw_differences(cells, samples=config.bootstrap_samples, seed=config.seed)
    found = iter(intervals(cells, drawn))
    tables = [
        {
            key: _difference(placed, next(found), is_lower_better(key.name))
            for key, placed in plan.items()
        }
        for plan in plans
    ]
    return [
        _comparison(before, after, table) for before, table in zip(baselines, tables, strict=True)
    ]


def _families(evaluation: Evaluation) -> dict[str, Family]:
    named = {
        "queries": evaluation.queries,
        "documents": evaluation.documents,
        "pairs": evaluation.pairs,
    }
    return {name: family for name, family in named.items() if family is not None}


def _groupings(baselines: Sequence[Evaluation], after: Evaluation) -> dict[str, Grouping]:
    """The groups of each family that a baseline has too; numbered over all, so that a group is
    drawn in all or none.
    """
    shared = {name for before in baselines for name in _families(before)}
    families = {name: family for name, family in _families(after).items() if name in shared}
    every = [group for family in families.values() for group in family.units.groups]
    names, position = np.unique(np.array(every, dtype=np.str_), return_inverse=True)
    ends = np.cumsum([len(family.units.groups) for family in families.values()])
    return {
        name: Grouping(part, len(names))
        for name, part in zip(families, np.split(position, ends)[:-1], strict=True)
    }


def _plan(
    before: Evaluation, after: Evaluation, groupings: Mapping[str, Grouping]
) -> dict[Key, Placed]:
    """Every cell of one comparison, its objective's first; those that are not defined left out."""
    pairs = _pairs(before, after, groupings)
    metrics = principal_metrics(list(pairs))
    if not metrics:
        raise DataError(
            f"{after.uri}: no metric to compare that {before.uri} has. Evaluate both on the "
            "same data, at the same k."
        )
    plan: dict[Key, Placed] = {}
    for metric in metrics:
        for key, dimension, mask in _wanted(
            pairs[metric], metric, is_objective=metric == metrics[0]
        ):
            cell = _cell(pairs[metric], metric, (dimension, key.dimension), mask)
            if cell is not None:
                plan[key] = Placed(cell, dimension)
    return plan


def _pairs(
    before: Evaluation, after: Evaluation, groupings: Mapping[str, Grouping]
) -> dict[str, Pair]:
    """{metric measured in both: the family that it is of}."""
    old, new = _families(before), _families(after)
    pairs: dict[str, Pair] = {}
    for name in (name for name in groupings if name in old):
        assert old[name].units.ids == new[name].units.ids, (
            f"{before.uri} and {after.uri} measured other {name}"
        )
        both = [
            {metric for row in family.means().values() for metric in row}
            for family in (old[name], new[name])
        ]
        pairs |= dict.fromkeys(both[0] & both[1], Pair(old[name], new[name], groupings[name]))
    return pairs


def _wanted(pair: Pair, metric: str, *, is_objective: bool) -> Iterator[tuple[Key, int, Mask]]:
    """A metric's cells, widest first: each with the baseline's dimension and the units that
    count.
    """
    old, new = (
        sorted((d for d, row in family.means().items() if metric in row), reverse=True)
        for family in (pair.before, pair.after)
    )
    slices = pair.after.units.slices() if is_objective else {}
    everything = np.ones(len(pair.after.units.ids), dtype=np.bool_)
    for dimension in new:
        baseline = dimension if dimension in old else old[0]
        yield Key(METRIC, metric, dimension), baseline, everything
        if is_objective:
            yield Key(NARROW, metric, dimension), old[0], everything
        for (kind, name), mask in slices.items():
            yield Key(kind, name, dimension), baseline, mask


def _cell(pair: Pair, metric: str, dimensions: tuple[int, int], mask: Mask) -> Cell | None:
    """Of the units in the mask, at the dimensions of (baseline, model)."""
    before, after, (old, new) = pair.before, pair.after, dimensions
    grouping = Grouping(pair.grouping.position[mask], pair.grouping.count)
    if isinstance(before, Scored) and isinstance(after, Scored):
        return spearman_cell(
            before.cosines[old][mask], after.cosines[new][mask], after.similarity[mask], grouping
        )
    assert isinstance(before, Measured)
    assert isinstance(after, Measured)
    values = after.values[new][metric]
    return mean_cell(
        before.values[old][metric][mask],
        values[mask],
        after.weight_of(metric, values)[mask],
        grouping,
    )


def _difference(placed: Placed, found: Interval, is_lower_better: bool = False) -> Difference:
    cell, dimension = placed
    return Difference(
        cell.before,
        cell.after,
        cell.mean,
        *found,
        cell.units,
        cell.groups,
        dimension,
        is_lower_better,
    )


def _comparison(
    before: Evaluation, after: Evaluation, table: Mapping[Key, Difference]
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
        model=after.name,
        baseline=before.name,
        objective=objective,
        differences=differences,
        narrow=narrow,
        slices=slices,
        units=widest.units,
        groups=widest.groups,
    )
