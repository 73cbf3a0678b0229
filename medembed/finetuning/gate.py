"""Decide whether a candidate may replace the champion, from both evaluations. Pure.

It must be surely better on the old test queries or on the new ones. The risk of losing more than
the tolerance must be small on both, and in each dimension and pair of languages. Bounds are
one-sided, from a paired bootstrap over groups of queries. The risks of all cells are estimated
together: a few hundred queries cannot prove of one cell alone that it did not lose a point.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from medembed.errors import DataError
from medembed.evaluation.bootstrap import Cell, OneSided, draw_differences, one_sided
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import Evaluation
from medembed.evaluation.retention.judge import Retained, Retention
from medembed.evaluation.retention.words import explain_losses
from medembed.evaluation.shrink import risks_of_loss
from medembed.finetuning.gate_cells import Question, make_questions
from medembed.finetuning.retrain_config import GateConfig
from medembed.language import to_translate, tr

Outcome = Literal["better", "not better", "worse"]
Verdict = Literal["pass", "fail", "undecided"]
_SURE_LOSS = to_translate(
    "surely loses more than {tolerance:g} on the {part} test queries: {difference}"
)
_RISK = to_translate("may lose more than {tolerance:g} on the {part} test queries: {difference}")
_RISK_OF_CELL = to_translate(
    "may lose more than {tolerance:g} at {dimension} dimensions, {part} queries, language "
    "{language}: {difference}"
)


@dataclass(frozen=True)
class GateRow:
    """One difference: of the objective (dimension 0, every language) or of a cell.

    `part` is the test queries that it is about: those of before, the new ones, or all where one
    part is too small. `low` and `high` are its bounds. `risk` is the probability that the candidate
    loses more than the tolerance; None where nothing was judged.
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

    def describe(self, metric: str) -> str:
        """Write "ndcg@10 0.500 -> 0.520, +0.020 [+0.010, +0.030], risk 1%"."""
        difference = (
            f"{metric} {self.before:.3f} -> {self.after:.3f}, {self.mean:+.3f} "
            f"[{self.low:+.3f}, {self.high:+.3f}]"
        )
        if self.risk is None:
            return difference
        return tr("{difference}, risk {risk:.0%}", difference=difference, risk=self.risk)


def make_row(
    part: str,
    dimension: int,
    language: str,
    cell: Cell,
    bound: OneSided,
    *,
    risk: float | None,
    verdict: Verdict,
) -> GateRow:
    """Return a judged difference."""
    return GateRow(
        part,
        dimension,
        language,
        cell.units,
        cell.groups,
        cell.before,
        cell.after,
        cell.mean,
        bound.low,
        bound.high,
        risk,
        verdict,
    )


@dataclass(frozen=True)
class Decision:
    """What the gate says, each reason in a line, and the differences that it looked at.

    The objective's come first; those on retention sets stand apart.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    metric: str
    rows: tuple[GateRow, ...]
    retention: Retention | None = None

    def refuse(self, reasons: Sequence[str]) -> "Decision":
        """Return the decision with more reasons against the candidate, then not "better"."""
        outcome = "not better" if reasons and self.outcome == "better" else self.outcome
        return replace(self, outcome=outcome, reasons=(*self.reasons, *reasons))


def decide(
    before: Evaluation,
    after: Evaluation,
    old: Collection[str],
    config: GateConfig,
    measured: EvaluationConfig,
) -> Decision:
    """Return the decision about the model of `after`.

    `old` are the queries that were in the data set before. Both evaluations hold the same queries
    in the same order. Raises DataError if they rank for none.
    """
    was = before.queries
    now = after.queries
    if was is None or now is None:
        raise DataError(
            "{uri}: no test query with a positive; the gate compares rankings: add some.",
            uri=after.uri,
        )
    assert was.units.ids == now.units.ids, "both must have measured the same queries"
    metric = principal_metrics(list(next(iter(now.values.values()))))[0]
    dimensions = config.dimensions or tuple(sorted(now.values, reverse=True))
    questions = make_questions(was, now, old, metric, dimensions, config.min_queries)
    rows = _judge(questions, config, measured)
    decision = _conclude(rows, metric, config)

    broken: dict[str, None] = {}
    for dimension in dimensions:
        for case in after.must_rank.get(dimension, ()):
            if not case.holds:
                broken[case.title] = None
    if broken:
        reason = tr(
            "must-rank: {count} cases do not hold: {names}",
            count=len(broken),
            names=", ".join(list(broken)[:5]),
        )
        decision = decision.refuse([reason])
    return decision


def hold_to_retention(
    decision: Decision, retention: Retention | None, before: Sequence[Retained]
) -> Decision:
    """Return the decision, with what the candidate surely loses elsewhere as a reason against it.

    It counts against the champion; and against the base model where the champion has not surely
    lost already, which `before` says, so that many small losses do not add up unseen.
    """
    if retention is None:
        return decision
    known = {(row.set, row.dimension) for row in before if row.is_lost}
    reasons = []
    for number, entry in enumerate(retention.against):
        reason = explain_losses(retention, entry, known if number > 0 else ())
        if reason:
            reasons.append(reason.rstrip("."))
    return replace(decision.refuse(reasons), retention=retention)


def _judge(
    questions: Sequence[Question], config: GateConfig, measured: EvaluationConfig
) -> tuple[GateRow, ...]:
    """Answer each question by its bounds and its risk; cells of too few queries are undecided.

    The objective's parts are judged together, and so are the cells.
    """
    cells = [question.cell for question in questions]
    drawn = draw_differences(cells, samples=measured.bootstrap_samples, seed=measured.seed)
    objective = []
    enough = []
    for number, question in enumerate(questions):
        if question.dimension == 0:
            objective.append(number)
        elif question.cell.units >= config.min_queries:
            enough.append(number)
    risks: dict[int, float] = {}
    for family in (objective, enough):
        keys = [(questions[number].part, questions[number].language) for number in family]
        judged = risks_of_loss(
            [cells[number] for number in family], drawn[:, family], keys, config.tolerance
        )
        risks |= dict(zip(family, judged, strict=True))

    rows = []
    for number, question in enumerate(questions):
        risk = risks.get(number)
        verdict: Verdict = "undecided"
        if risk is not None:
            verdict = "pass" if risk <= 1 - config.confidence else "fail"
        bound = one_sided(question.cell, drawn[:, number], config.confidence)
        rows.append(
            make_row(
                question.part,
                question.dimension,
                question.language,
                question.cell,
                bound,
                risk=risk,
                verdict=verdict,
            )
        )
    return tuple(rows)


def _conclude(rows: tuple[GateRow, ...], metric: str, config: GateConfig) -> Decision:
    """Return what the rows say together."""
    objective = [row for row in rows if row.dimension == 0]
    worse = [row for row in objective if row.high < -config.tolerance]
    if worse:
        reasons = [_explain(_SURE_LOSS, row, metric, config) for row in worse]
        return Decision("worse", tuple(reasons), metric, rows)

    reasons = []
    for row in objective:
        if row.verdict == "fail":
            reasons.append(_explain(_RISK, row, metric, config))
    if not any(row.low > 0 for row in objective):
        gains = tr("; ").join(f"{tr(row.part)} {row.describe(metric)}" for row in objective)
        reasons.append(tr("not surely better: {gains}", gains=gains))
    for row in rows:
        if row.dimension and row.verdict == "fail":
            reasons.append(_explain(_RISK_OF_CELL, row, metric, config))
    return Decision("not better" if reasons else "better", tuple(reasons), metric, rows)


def _explain(message: str, row: GateRow, metric: str, config: GateConfig) -> str:
    return tr(
        message,
        tolerance=config.tolerance,
        dimension=row.dimension,
        part=tr(row.part),
        language=tr(row.language),
        difference=row.describe(metric),
    )
