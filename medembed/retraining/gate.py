"""Whether a candidate may replace the champion, from both evaluations on the same queries. Pure.

It must be surely better on the old test queries or the new ones, and for neither, nor for any
dimension and language, may the risk be large that it loses more than a tolerance. Bounds are
one-sided, from a paired bootstrap over groups of queries; the risk of a cell is judged with all
other cells in view, since a test set of a few hundred queries can prove of no single one that it
did not lose a point.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.errors import DataError
from medembed.evaluation.bootstrap import (
    FEWEST_GROUPS,
    Cell,
    Grouping,
    draw_differences,
    mean_cell,
    one_sided,
)
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import Evaluation, Measured, principal_metrics
from medembed.evaluation.retention.judge import Retained, Retention
from medembed.evaluation.retention.words import explain_losses
from medembed.evaluation.shrink import risks_of_loss
from medembed.retraining.config import GateConfig

Outcome = Literal["better", "not better", "worse"]
Verdict = Literal["pass", "fail", "undecided"]
Mask = npt.NDArray[np.bool_]
OLD, NEW, ALL = "old", "new", "all"
OTHERS = "others"  # languages of few queries, taken together


@dataclass(frozen=True)
class Row:
    """One difference: of the objective (dimension 0, every language) or of a cell; `low` and `high`
    are its bounds.

    `part` is the test queries that it is about: those of before, the new ones, or all where one
    part is too small. `risk` is the probability that the candidate loses more than the tolerance;
    None where nothing was judged.
    """

    part: str
    dimension: int
    language: str
    queries: int
    groups: int
    before: float
    after: float
    mean: float
    low: float
    high: float
    risk: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Decision:
    """What the gate says, each reason in a line, and the differences that it looked at: the
    objective's first, and apart those on retention sets."""

    outcome: Outcome
    reasons: tuple[str, ...]
    metric: str
    rows: tuple[Row, ...]
    retention: Retention | None = None


@dataclass(frozen=True)
class _Wanted:
    part: str
    dimension: int
    language: str
    cell: Cell


def decide(
    before: Evaluation,
    after: Evaluation,
    old: Collection[str],
    config: GateConfig,
    measured: EvaluationConfig,
) -> Decision:
    """The decision about the model of `after`; `old` are the queries that were in the data set
    before.

    Both evaluations hold the same queries in the same order. Raises DataError if they rank for
    none.
    """
    was, now = before.queries, after.queries
    if was is None or now is None:
        raise DataError(
            f"{after.uri}: no test query with a positive; the gate compares rankings: add some."
        )
    assert was.units.ids == now.units.ids, "both must have measured the same queries"
    metric = principal_metrics(list(next(iter(now.values.values()))))[0]
    dimensions = config.dimensions or tuple(sorted(now.values, reverse=True))
    columns = {d: (_values(was, metric, d), _values(now, metric, d)) for d in dimensions}
    parts = _parts(now, old)
    names, position = np.unique(np.asarray(now.units.groups), return_inverse=True)
    grouping = Grouping(position, len(names))
    wanted = [
        *_objective(parts, columns, grouping),
        *_cells(parts, columns, grouping, now.units.languages, config),
    ]
    rows = _judge(wanted, config, measured)
    outcome, reasons = _conclude(rows, metric, config)
    broken = [
        case.name for d in dimensions for case in after.must_rank.get(d, ()) if not case.holds
    ]
    if broken:
        names_of = Counter(broken)
        reasons = (
            *reasons,
            f"must-rank: {len(names_of)} cases do not hold: {', '.join(list(names_of)[:5])}",
        )
        outcome = "not better" if outcome == "better" else outcome
    return Decision(outcome, reasons, metric, tuple(rows))


def hold_to_retention(
    decision: Decision, retention: Retention | None, before: Sequence[Retained]
) -> Decision:
    """The decision, with what the candidate surely loses elsewhere as a reason against it.

    It counts against the champion; and against the base model where the champion has not surely
    lost already, which `before` says, so that many small losses do not add up unseen.
    """
    if retention is None:
        return decision
    known = {(row.set, row.dimension) for row in before if row.is_lost}
    reasons = []
    for number, entry in enumerate(retention.against):
        lost = [row for row in entry.lost if not number or (row.set, row.dimension) not in known]
        told = explain_losses(lost, retention.model, entry.baseline, retention.tolerance)
        reasons += [told.rstrip(".")] if told else []
    outcome: Outcome = (
        "not better" if reasons and decision.outcome == "better" else decision.outcome
    )
    return replace(
        decision, outcome=outcome, reasons=(*decision.reasons, *reasons), retention=retention
    )


def _values(measured: Measured, metric: str, dimension: int) -> Values:
    """Of each query at this dimension, or at the widest of a narrower model."""
    return measured.values[dimension if dimension in measured.values else max(measured.values)][
        metric
    ]


def _parts(measured: Measured, old: Collection[str]) -> dict[str, Mask]:
    """Old and new test queries; all together where one part has too few groups to say anything
    alone.
    """
    is_old = np.array([name in old for name in measured.units.ids], dtype=np.bool_)
    groups = np.asarray(measured.units.groups)
    sizes = [len(np.unique(groups[mask])) for mask in (is_old, ~is_old)]
    if sizes[1] == 0 or sizes[0] == 0:
        return {OLD if sizes[1] == 0 else NEW: np.ones(len(is_old), dtype=np.bool_)}
    if min(sizes) < FEWEST_GROUPS:
        return {ALL: np.ones(len(is_old), dtype=np.bool_)}
    return {OLD: is_old, NEW: ~is_old}


def _cell(pair: tuple[Values, Values], mask: Mask, grouping: Grouping) -> Cell | None:
    inside = Grouping(grouping.position[mask], grouping.count)
    return mean_cell(pair[0][mask], pair[1][mask], np.ones(int(mask.sum())), inside)


def _objective(
    parts: dict[str, Mask], columns: dict[int, tuple[Values, Values]], grouping: Grouping
) -> Iterator[_Wanted]:
    """Of each part the mean over dimensions."""
    before, after = (np.mean([pair[side] for pair in columns.values()], axis=0) for side in (0, 1))
    for part, mask in parts.items():
        cell = _cell((before, after), mask, grouping)
        if cell is not None:
            yield _Wanted(part, 0, ALL, cell)


def _cells(
    parts: dict[str, Mask],
    columns: dict[int, tuple[Values, Values]],
    grouping: Grouping,
    languages: Sequence[str],
    config: GateConfig,
) -> Iterator[_Wanted]:
    """Each dimension with each set of queries that is judged by itself."""
    for part, language, mask in _split(
        parts, np.asarray(languages, dtype=np.str_), config.min_queries
    ):
        for dimension, pair in columns.items():
            cell = _cell(pair, mask, grouping)
            if cell is not None:
                yield _Wanted(part, dimension, language, cell)


def _split(
    parts: dict[str, Mask], spoken: npt.NDArray[np.str_], least: int
) -> Iterator[tuple[str, str, Mask]]:
    """(part, language, queries): languages of `least` queries in a part; those of fewer in both, if
    they are enough over both; then all that is left of a part, or of both, together.

    So no loss is out of sight because it is spread over old and new queries.
    """
    few: dict[str, dict[str, Mask]] = {}
    for part, mask in parts.items():
        for language in np.unique(spoken[mask]).tolist():
            inside = mask & (spoken == language)
            if inside.sum() >= least:
                yield part, language, inside
            else:
                few.setdefault(language, {})[part] = inside
    rest: dict[str, Mask] = {}
    for language, found in few.items():
        together = np.logical_or.reduce(list(found.values()))
        if together.sum() >= least:
            yield ALL, language, together
        else:
            rest |= {part: mask | rest.get(part, False) for part, mask in found.items()}
    together = np.logical_or.reduce([*rest.values(), np.zeros(len(spoken), dtype=np.bool_)])
    if together.sum() >= least and all(mask.sum() < least for mask in rest.values()):
        rest = {ALL: together}
    for part, mask in rest.items():
        names = np.unique(spoken[parts.get(part, mask)])
        yield part, names[0] if len(names) == 1 else OTHERS, mask


def _judge(wanted: Sequence[_Wanted], config: GateConfig, measured: EvaluationConfig) -> list[Row]:
    """Each difference with its bounds and its risk; cells of too few queries are undecided.

    The objective's parts are judged together, and so are the cells.
    """
    drawn = draw_differences(
        [one.cell for one in wanted], samples=measured.bootstrap_samples, seed=measured.seed
    )
    objective = [n for n, one in enumerate(wanted) if not one.dimension]
    cells = [
        n for n, one in enumerate(wanted) if one.dimension and one.cell.units >= config.min_queries
    ]
    risks: dict[int, float] = {}
    for family in (objective, cells):
        questions = [(wanted[n].part, wanted[n].language) for n in family]
        judged = risks_of_loss(
            [wanted[n].cell for n in family], drawn[:, family], questions, config.tolerance
        )
        risks |= dict(zip(family, judged, strict=True))
    return [_row(one, drawn[:, n], risks.get(n), config) for n, one in enumerate(wanted)]


def _row(one: _Wanted, drawn: Values, risk: float | None, config: GateConfig) -> Row:
    verdict: Verdict = "undecided"
    if risk is not None:
        verdict = "pass" if risk <= 1 - config.confidence else "fail"
    bound = one_sided(one.cell, drawn, config.confidence)
    return Row(
        part=one.part,
        dimension=one.dimension,
        language=one.language,
        queries=one.cell.units,
        groups=one.cell.groups,
        before=one.cell.before,
        after=one.cell.after,
        mean=one.cell.mean,
        low=bound.low,
        high=bound.high,
        risk=risk,
        verdict=verdict,
    )


def _conclude(
    rows: Sequence[Row], metric: str, config: GateConfig
) -> tuple[Outcome, tuple[str, ...]]:
    objective = [row for row in rows if not row.dimension]
    cells = [row for row in rows if row.dimension and row.verdict == "fail"]
    worse = [row for row in objective if row.high < -config.tolerance]
    if worse:
        told = f"surely loses more than {config.tolerance:g} on the"
        return "worse", tuple(
            f"{told} {row.part} test queries: {_told(row, metric)}" for row in worse
        )
    reasons = [
        f"may lose more than {config.tolerance:g} on the {row.part} test queries: "
        f"{_told(row, metric)}"
        for row in objective
        if row.verdict == "fail"
    ]
    if not any(row.low > 0 for row in objective):
        reasons.append(
            "not surely better: "
            + "; ".join(f"{row.part} {_told(row, metric)}" for row in objective)
        )
    reasons += [
        f"may lose more than {config.tolerance:g} at {row.dimension} dimensions, {row.part} "
        f"queries, language {row.language}: {_told(row, metric)}"
        for row in cells
    ]
    return ("not better", tuple(reasons)) if reasons else ("better", ())


def _told(row: Row, metric: str) -> str:
    difference = (
        f"{metric} {row.before:.3f} -> {row.after:.3f}, {row.mean:+.3f} "
        f"[{row.low:+.3f}, {row.high:+.3f}]"
    )
    return difference if row.risk is None else f"{difference}, risk {row.risk:.0%}"
