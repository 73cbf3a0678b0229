"""The gate on made-up evaluations: what must pass, what must not, and the statistics behind it."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell, one_sided
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.evaluation.must_rank import Outcome
from medembed.evaluation.result import Evaluation, Measured, Units
from medembed.evaluation.retained import Against, Retained, Retention, Scores, judge_retained
from medembed.finetuning.gate import Decision, decide, hold_to_retention
from medembed.finetuning.gate_cells import ALL, NEW, OLD, OTHERS
from medembed.finetuning.gate_screen import show_power
from medembed.finetuning.retrain_config import GateConfig

MEASURED = EvaluationConfig(bootstrap_samples=500)
OLD_QUERIES, NEW_QUERIES = 400, 150


def evaluation(
    shift: Mapping[tuple[str, int, str], float] = {}, seed: int = 0, spread: float = 0.02
) -> Evaluation:
    """550 queries at 64 and 32 dimensions, each a group, two thirds French; `shift` {(part,
    dimension, language)}.
    """
    count = OLD_QUERIES + NEW_QUERIES
    languages = tuple("fr" if n % 3 else "en" for n in range(count))
    parts = [OLD if n < OLD_QUERIES else NEW for n in range(count)]
    base, noise = np.random.default_rng(7).uniform(0.3, 0.7, count), np.random.default_rng(seed)
    values = {}
    for dimension in (64, 32):
        moved = [
            shift.get((part, dimension, language), 0.0)
            for part, language in zip(parts, languages, strict=True)
        ]
        values[dimension] = {
            "ndcg@10": base + moved + noise.normal(0, spread if seed else 0, count)
        }
    names = tuple(f"q{n}" for n in range(count))
    units = Units(names, names, languages, tuple(() for _ in names))
    return Evaluation("m", "m", "e", Measured(units, values, {}, {}))


def judged(after: Evaluation, old: int = OLD_QUERIES, **gate: object) -> Decision:
    config = GateConfig(**{"min_queries": 100} | gate)
    return decide(evaluation(), after, {f"q{n}" for n in range(old)}, config, MEASURED)


def everywhere(old: float, new: float) -> dict[tuple[str, int, str], float]:
    return {
        (part, d, lang): gain
        for part, gain in ((OLD, old), (NEW, new))
        for d in (64, 32)
        for lang in ("en", "fr")
    }


def test_better_on_the_new_queries_and_alike_on_the_old_ones_passes():
    decision = judged(evaluation(everywhere(0.0, 0.03), seed=1))
    assert (decision.outcome, decision.reasons) == ("better", ())
    objective = {row.part: row for row in decision.rows if not row.dimension}
    assert objective[NEW].low > 0 > objective[OLD].low > -0.01
    assert objective[NEW].mean == pytest.approx(0.03, abs=0.005)
    cells = {
        (row.part, row.dimension, row.language): row.queries
        for row in decision.rows
        if row.dimension
    }
    assert cells == {
        (OLD, d, lang): n for d in (64, 32) for lang, n in (("en", 134), ("fr", 266))
    } | {
        # 50 English ones are too few to stand alone, and alone to be told
        (NEW, d, lang): n
        for d in (64, 32)
        for lang, n in ((OTHERS, 50), ("fr", 100))
    }
    assert {row.verdict for row in decision.rows if row.language == OTHERS} == {"undecided"}


@pytest.mark.parametrize(
    ("least", "outcome", "told"),
    [
        (150, "not better", (ALL, "en", 184, "fail")),
        (200, "better", (ALL, OTHERS, 284, "pass")),  # with the 100 new French ones
        (300, "better", (NEW, OTHERS, 50, "undecided")),
    ],
)
def test_a_language_of_enough_queries_over_both_parts_is_judged(
    least: int, outcome: str, told: tuple[object, ...]
):
    """134 English queries are old and 50 new: together 184."""
    lost = {(part, d, "en"): -0.03 for part in (OLD, NEW) for d in (64, 32)}
    decision = judged(evaluation(everywhere(0.05, 0.05) | lost, seed=1), min_queries=least)
    assert decision.outcome == outcome
    assert told in [
        (row.part, row.language, row.queries, row.verdict)
        for row in decision.rows
        if row.dimension == 64
    ]


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (everywhere(0.0, 0.0), "not surely better"),
        (everywhere(-0.008, 0.05), "may lose more than 0.01 on the old test queries"),
        (
            everywhere(0.02, 0.02) | {(OLD, 32, "en"): -0.02},
            "at 32 dimensions, old queries, language en",
        ),
    ],
)
def test_no_sure_gain_a_loss_on_the_old_queries_or_in_one_cell_is_not_promoted(
    shift: Mapping[tuple[str, int, str], float], said: str
):
    decision = judged(evaluation(shift, seed=1, spread=0.05))
    assert decision.outcome == "not better"
    assert any(said in reason for reason in decision.reasons)


def test_a_sure_loss_is_called_worse_whatever_else_was_gained():
    decision = judged(evaluation(everywhere(0.05, -0.05), seed=1))
    assert decision.outcome == "worse"
    assert "surely loses more than 0.01 on the new test queries" in decision.reasons[0]


def test_a_case_that_does_not_hold_stops_a_better_model():
    after = evaluation(everywhere(0.03, 0.03), seed=1)
    broken = Evaluation(
        after.name,
        after.uri,
        after.encoder,
        after.queries,
        must_rank={32: (Outcome("MI", 0.1, 0.2),)},
    )
    decision = judged(broken)
    assert decision.outcome == "not better"
    assert decision.reasons == ("must-rank: 1 cases do not hold: MI",)


def test_too_few_new_queries_are_judged_together_with_the_old_ones():
    count = OLD_QUERIES + NEW_QUERIES
    for old, parts in ((count - 5, {ALL}), (count, {OLD}), (0, {NEW})):
        assert {
            row.part for row in judged(evaluation(everywhere(0.02, 0.02), seed=1), old).rows
        } == parts


def test_one_sided_bounds_are_students_for_groups_of_one():
    generator = np.random.default_rng(3)
    gain = generator.normal(0.02, 0.1, 40)
    cell = mean_cell(np.zeros(40), gain, np.ones(40), Grouping(np.arange(40), 40))
    assert cell is not None
    drawn = draw_differences([cell], samples=20_000, seed=0)[:, 0]
    bound = one_sided(cell, drawn, 0.95)
    low = stats.t.interval(0.90, 39, gain.mean(), stats.sem(gain))[0]
    assert bound.low == pytest.approx(low, abs=5e-4)
    assert bound.high == pytest.approx(2 * gain.mean() - low, abs=5e-4)


def share_promoted(count: int, truth: Mapping[tuple[str, int, str], float]) -> float:
    """Of 40 candidates with these true gains, on `count` test questions whose gains vary by .13, as
    real ones do.
    """
    promoted = 0
    for seed in range(1, 41):
        names = tuple(f"q{n}" for n in range(count))
        languages = tuple("fr" if n % 2 else "en" for n in range(count))
        units = Units(names, names, languages, tuple(() for _ in names))
        noise = np.random.default_rng(seed)
        of_question = noise.normal(0, 0.11, count)
        before = {}
        after = {}
        for dimension in (384, 64):
            gains = [truth.get((ALL, dimension, language), 0.0) for language in languages]
            before[dimension] = {"ndcg@10": np.full(count, 0.5)}
            after[dimension] = {
                "ndcg@10": 0.5 + np.array(gains) + of_question + noise.normal(0, 0.07, count)
            }
        both = [
            Evaluation("m", "m", "e", Measured(units, values, {}, {})) for values in (before, after)
        ]
        promoted += decide(both[0], both[1], set(names), GateConfig(), MEASURED).outcome == "better"
    return promoted / 40


def test_a_better_model_passes_with_the_questions_that_a_hospital_has_and_one_that_loses_a_language_does_not():
    better = {
        (ALL, dimension, language): 0.02 for dimension in (384, 64) for language in ("en", "fr")
    }
    loses_french = better | {(ALL, dimension, "fr"): -0.04 for dimension in (384, 64)}
    loses_few_dimensions = better | {(ALL, 64, "fr"): -0.04}
    assert share_promoted(300, better) >= 0.6
    assert share_promoted(300, {}) <= 0.1
    assert share_promoted(300, loses_french) <= 0.05
    assert share_promoted(300, loses_few_dimensions) <= 0.05
    assert share_promoted(1000, better) >= 0.9


def test_it_is_said_beforehand_which_loss_the_test_questions_can_show():
    assert show_power(["fr"] * 279, 0.95) == "279 test questions can show a loss of 1.6 points"
    both = show_power(["fr"] * 700 + ["en"] * 121, 0.95)
    assert (
        both
        == "821 test questions can show a loss of 0.9 points; 700 in fr of 1.0, 121 in en of 2.4"
    )


def elsewhere(model: str, loss: float, dimension: int = 64) -> tuple[Retained, ...]:
    """A set of 40 queries on which `model` loses so much at one of two dimensions."""
    before = {d: np.full(40, 0.8) for d in (64, 32)}
    after = before | {dimension: before[dimension] - loss}
    groups = [str(n) for n in range(40)]
    return judge_retained(
        {"clinic": Scores(before, groups)}, {"clinic": Scores(after, groups)}, RetentionConfig()
    )


def held(decision: Decision, against: dict[str, float], before: float = 0.0) -> Decision:
    """Loses so much against each; the champion has lost `before` against the base model."""
    rows = tuple(Against(name, elsewhere("candidate", loss)) for name, loss in against.items())
    retention = Retention("candidate", 0.005, {"clinic": {}}, rows, {})
    return hold_to_retention(decision, retention, elsewhere("champion", before))


BETTER = Decision("better", (), "ndcg@10", ())


def test_a_sure_loss_against_the_champion_on_a_retention_set_refuses_a_better_candidate():
    decision = held(BETTER, {"champion": 0.02})
    assert decision.outcome == "not better"
    assert decision.reasons == (
        "candidate surely loses more than 0.005 elsewhere against champion: clinic at 64 "
        "dimensions (0.800 -> 0.780 at 64)",
    )
    assert held(BETTER, {"champion": 0.004}).outcome == "better"


def test_losses_that_add_up_against_the_base_model_count_once_they_are_sure():
    drifted = {"champion": 0.004, "base model": 0.008}
    assert held(BETTER, drifted, before=0.004).outcome == "not better"
    assert held(BETTER, drifted, before=0.02).outcome == "better", (
        "the champion had lost it already"
    )


def test_a_worse_candidate_stays_worse_and_nothing_measured_changes_nothing():
    worse = Decision("worse", ("because",), "ndcg@10", ())
    assert held(worse, {"champion": 0.02}).outcome == "worse"
    assert held(worse, {"champion": 0.02}).reasons[0] == "because"
    assert hold_to_retention(BETTER, None, ()) is BETTER
