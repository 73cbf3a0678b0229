"""The gate on made-up evaluations: what must pass, and what must not."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell, one_sided
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.result import Evaluation, Measured, Units
from medembed.evaluation.retention.judge import Against, Retained, Retention, Scores, judge_retained
from medembed.finetuning.gate import Decision, GateRow, decide, hold_to_retention
from medembed.finetuning.gate_cells import ALL, NEW, OLD, OTHERS
from medembed.finetuning.gate_screen import show_power
from medembed.finetuning.retrain_config import GateConfig

MEASURED = EvaluationConfig(bootstrap_samples=500)
OLD_QUERIES = 400
COUNT = OLD_QUERIES + 150
Shift = Mapping[tuple[str, int, str], float]  # {(part, dimension, language): gain}
EVERYWHERE = [
    (part, dimension, language)
    for part in (OLD, NEW)
    for dimension in (64, 32)
    for language in ("en", "fr")
]


def evaluate(languages: tuple[str, ...], values: Mapping[int, Values]) -> Evaluation:
    """Queries q0, q1, ..., each a group of its own."""
    names = tuple(f"q{number}" for number in range(len(languages)))
    units = Units(names, names, languages, tuple(() for _ in names))
    ranked = {dimension: {"ndcg@10": of_query} for dimension, of_query in values.items()}
    return Evaluation("m", "m", "e", Measured(units, ranked, {}, {}))


def evaluation(shift: Shift, seed: int = 0, spread: float = 0.02) -> Evaluation:
    """550 queries at 64 and 32 dimensions, two thirds French, the first 400 old."""
    languages = tuple("fr" if number % 3 else "en" for number in range(COUNT))
    base = np.random.default_rng(7).uniform(0.3, 0.7, COUNT)
    noise = np.random.default_rng(seed)
    values = {}
    for dimension in (64, 32):
        gains = np.zeros(COUNT)
        for number, language in enumerate(languages):
            part = OLD if number < OLD_QUERIES else NEW
            gains[number] = shift.get((part, dimension, language), 0.0)
        values[dimension] = base + gains + noise.normal(0, spread if seed else 0, COUNT)
    return evaluate(languages, values)


def judged(after: Evaluation, old: int = OLD_QUERIES, **gate: object) -> Decision:
    config = GateConfig(**{"min_queries": 100} | gate)
    known = {f"q{number}" for number in range(old)}
    return decide(evaluation({}), after, known, config, MEASURED)


def everywhere(old: float, new: float) -> Shift:
    return {where: old if where[0] == OLD else new for where in EVERYWHERE}


def cells(decision: Decision) -> list[GateRow]:
    return [row for row in decision.rows if row.dimension]


def test_better_on_the_new_queries_and_alike_on_the_old_ones_passes():
    decision = judged(evaluation(everywhere(0.0, 0.03), seed=1))
    assert (decision.outcome, decision.reasons) == ("better", ())
    objective = {row.part: row for row in decision.rows if not row.dimension}
    assert objective[NEW].low > 0 > objective[OLD].low > -0.01
    assert objective[NEW].mean == pytest.approx(0.03, abs=0.005)
    sizes = {(row.part, row.language, row.queries, row.verdict) for row in cells(decision)}
    assert sizes == {
        (OLD, "en", 134, "pass"),
        (OLD, "fr", 266, "pass"),
        (NEW, OTHERS, 50, "undecided"),  # the English ones are too few to stand alone
        (NEW, "fr", 100, "pass"),
    }
    assert {row.dimension for row in cells(decision)} == {64, 32}


@pytest.mark.parametrize(
    ("least", "outcome", "row"),
    [
        (150, "not better", (ALL, "en", 184, "fail")),
        (200, "better", (ALL, OTHERS, 284, "pass")),  # with the 100 new French ones
        (300, "better", (NEW, OTHERS, 50, "undecided")),
    ],
)
def test_a_language_of_enough_queries_over_both_parts_is_judged(
    least: int, outcome: str, row: tuple[object, ...]
):
    """134 English queries are old and 50 new: together 184."""
    lost = {where: -0.03 for where in EVERYWHERE if where[2] == "en"}
    decision = judged(evaluation({**everywhere(0.05, 0.05), **lost}, seed=1), min_queries=least)
    assert decision.outcome == outcome
    assert row in [(one.part, one.language, one.queries, one.verdict) for one in cells(decision)]


@pytest.mark.parametrize(
    ("shift", "spread", "outcome", "reason"),
    [
        (everywhere(0.0, 0.0), 0.05, "not better", "not surely better"),
        (everywhere(-0.008, 0.05), 0.05, "not better", "may lose more than 0.01 on the old test"),
        (
            {**everywhere(0.02, 0.02), (OLD, 32, "en"): -0.02},
            0.05,
            "not better",
            "at 32 dimensions, old queries, language en",
        ),
        (everywhere(0.05, -0.05), 0.02, "worse", "surely loses more than 0.01 on the new test"),
    ],
)
def test_no_sure_gain_or_a_loss_anywhere_is_not_promoted(
    shift: Shift, spread: float, outcome: str, reason: str
):
    decision = judged(evaluation(shift, seed=1, spread=spread))
    assert decision.outcome == outcome
    assert any(reason in line for line in decision.reasons)


def test_a_case_that_does_not_hold_stops_a_better_model():
    queries = evaluation(everywhere(0.03, 0.03), seed=1).queries
    broken = {32: (CaseOutcome("MI", 0.1, 0.2),)}
    decision = judged(Evaluation("m", "m", "e", queries, must_rank=broken))
    assert decision.outcome == "not better"
    assert decision.reasons == ("must-rank: 1 cases do not hold: MI",)


@pytest.mark.parametrize(("old", "part"), [(COUNT - 5, ALL), (COUNT, OLD), (0, NEW)])
def test_too_few_new_queries_are_judged_together_with_the_old_ones(old: int, part: str):
    decision = judged(evaluation(everywhere(0.02, 0.02), seed=1), old)
    assert {row.part for row in decision.rows} == {part}


BETTER_BY_2 = {(dimension, lang): 0.02 for dimension in (384, 64) for lang in ("en", "fr")}
LOSES_FRENCH = {**BETTER_BY_2, (384, "fr"): -0.04, (64, "fr"): -0.04}
LOSES_FEW_DIMENSIONS = {**BETTER_BY_2, (64, "fr"): -0.04}


@pytest.mark.parametrize(
    ("count", "truth", "least", "most"),
    [
        (300, BETTER_BY_2, 0.6, 1),
        (300, {}, 0, 0.1),
        (300, LOSES_FRENCH, 0, 0.05),
        (300, LOSES_FEW_DIMENSIONS, 0, 0.05),
        (1000, BETTER_BY_2, 0.9, 1),
    ],
)
def test_a_better_model_passes_with_the_questions_that_a_hospital_has_and_one_that_loses_does_not(
    count: int, truth: Mapping[tuple[int, str], float], least: float, most: float
):
    """Of 40 candidates with these true gains, on questions whose gains vary as real ones do."""
    languages = tuple("fr" if number % 2 else "en" for number in range(count))
    before = evaluate(languages, dict.fromkeys((384, 64), np.full(count, 0.5)))
    old = set(before.queries.units.ids)
    promoted = 0
    for seed in range(1, 41):
        noise = np.random.default_rng(seed)
        of_question = noise.normal(0, 0.11, count)
        values = {}
        for dimension in (384, 64):
            gains = np.array([truth.get((dimension, language), 0.0) for language in languages])
            values[dimension] = 0.5 + gains + of_question + noise.normal(0, 0.07, count)
        decision = decide(before, evaluate(languages, values), old, GateConfig(), MEASURED)
        promoted += decision.outcome == "better"
    assert least <= promoted / 40 <= most


def test_one_sided_bounds_are_students_for_groups_of_one():
    gain = np.random.default_rng(3).normal(0.02, 0.1, 40)
    cell = mean_cell(np.zeros(40), gain, Grouping(np.arange(40), 40))
    assert cell is not None
    drawn = draw_differences([cell], samples=20_000, seed=0)[:, 0]
    bound = one_sided(cell, drawn, 0.95)
    low = stats.t.interval(0.90, 39, gain.mean(), stats.sem(gain))[0]
    assert bound.low == pytest.approx(low, abs=5e-4)
    assert bound.high == pytest.approx(2 * gain.mean() - low, abs=5e-4)


def test_which_loss_the_test_questions_can_show():
    assert show_power(["fr"] * 279, 0.95) == "279 test questions can show a loss of 1.6 points"
    assert show_power(["fr"] * 700 + ["en"] * 121, 0.95) == (
        "821 test questions can show a loss of 0.9 points; 700 in fr of 1.0, 121 in en of 2.4"
    )


def elsewhere(loss: float) -> tuple[Retained, ...]:
    """A set of 40 queries on which a model loses so much at one of two dimensions."""
    before = {dimension: np.full(40, 0.8) for dimension in (64, 32)}
    after = before | {64: before[64] - loss}
    groups = [str(number) for number in range(40)]
    return judge_retained(
        {"clinic": Scores(before, groups)}, {"clinic": Scores(after, groups)}, RetentionConfig()
    )


def held(decision: Decision, against: Mapping[str, float], before: float = 0.0) -> Decision:
    """Loses so much against each; the champion has lost `before` against the base model."""
    rows = tuple(Against(name, elsewhere(loss)) for name, loss in against.items())
    retention = Retention("candidate", 0.005, {"clinic": {}}, rows, {})
    return hold_to_retention(decision, retention, elsewhere(before))


BETTER = Decision("better", (), "ndcg@10", ())
WORSE = Decision("worse", ("because",), "ndcg@10", ())


def test_a_sure_loss_against_the_champion_on_a_retention_set_refuses_a_better_candidate():
    decision = held(BETTER, {"champion": 0.02})
    assert decision.outcome == "not better"
    assert decision.reasons == (
        "candidate surely loses more than 0.005 elsewhere against champion: clinic at 64 "
        "dimensions (0.800 -> 0.780 at 64)",
    )
    assert held(BETTER, {"champion": 0.004}).outcome == "better"
    assert held(WORSE, {"champion": 0.02}).outcome == "worse"
    assert held(WORSE, {"champion": 0.02}).reasons[0] == "because"
    assert hold_to_retention(BETTER, None, ()) is BETTER


def test_losses_that_add_up_against_the_base_model_count_once_they_are_sure():
    drifted = {"champion": 0.004, "base model": 0.008}
    assert held(BETTER, drifted, before=0.004).outcome == "not better"
    assert held(BETTER, drifted, before=0.02).outcome == "better", "it was lost already"
