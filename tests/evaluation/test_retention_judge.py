import numpy as np
import pytest
from scipy import stats

from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.judge import Scores, how_far_lost, judge_retained, reject

CONFIG = RetentionConfig()


def scores(*columns: np.ndarray) -> Scores:
    """Of a group to each query, at 384 dimensions and at 64."""
    return Scores(
        dict(zip((384, 64), columns, strict=False)),
        [f"g{number}" for number in range(len(columns[0]))],
    )


def test_a_set_that_falls_by_more_than_the_tolerance_is_lost_at_that_dimension_alone():
    noise = np.random.default_rng(0).normal(0, 0.05, 200)
    was = scores(np.full(200, 0.8), np.full(200, 0.7))
    now = scores(0.8 + noise - noise.mean(), 0.67 + noise - noise.mean())
    wide, narrow = judge_retained({"elsewhere": was}, {"elsewhere": now}, CONFIG)
    assert (wide.dimension, wide.is_lost, narrow.dimension, narrow.is_lost) == (
        384,
        False,
        64,
        True,
    )
    assert narrow.mean == pytest.approx(-0.03)
    assert narrow.low < -0.03 < narrow.high < -0.005


def test_the_chance_of_a_loss_is_students():
    gain = np.random.default_rng(1).normal(-0.01, 0.1, 100)
    before = np.full(100, 0.5)
    (row,) = judge_retained({"a": scores(before)}, {"a": scores(before + gain)}, CONFIG)
    expected = stats.ttest_1samp(gain, -0.005, alternative="less").pvalue
    assert row.chance == pytest.approx(expected, rel=0.05)


def test_a_loss_within_the_tolerance_is_none_however_sure():
    before = np.full(50, 0.5)
    (row,) = judge_retained({"a": scores(before)}, {"a": scores(before - 0.004)}, CONFIG)
    assert not row.is_lost
    (row,) = judge_retained({"a": scores(before)}, {"a": scores(before - 0.006)}, CONFIG)
    assert row.is_lost


def test_of_fewer_than_ten_groups_no_loss_is_sure():
    before = np.full(9, 0.9)
    (row,) = judge_retained({"a": scores(before)}, {"a": scores(before - 0.5)}, CONFIG)
    assert not row.is_lost


def test_a_narrower_baseline_stands_with_its_own_width():
    was = Scores({64: np.full(20, 0.5)}, [str(number) for number in range(20)])
    rows = judge_retained({"a": was}, {"a": scores(np.full(20, 0.6), np.full(20, 0.5))}, CONFIG)
    assert [(row.dimension, round(row.mean, 3)) for row in rows] == [(384, 0.1), (64, 0.0)]


def test_p_values_fall_one_after_the_other_as_holm_has_it():
    """Holm's own example: 0.005, 0.011, 0.02, 0.04, 0.13 at 0.05 against 0.01, 0.0125, 0.0167,
    ...
    """
    assert reject([0.02, 0.011, 0.13, 0.005, 0.04], 0.05) == [False, True, False, True, False]
    assert reject([], 0.05) == []


def test_of_no_true_loss_in_nine_cells_one_is_called_sure_in_five_percent_of_cases():
    generator = np.random.default_rng(2)
    before = np.full(60, 0.5)
    groups = [str(number) for number in range(60)]
    wrong = 0
    for _ in range(100):
        after = {
            name: Scores(
                {d: before - 0.005 + generator.normal(0, 0.1, 60) for d in (3, 2, 1)}, groups
            )
            for name in "abc"
        }
        wrong += any(
            row.is_lost
            for row in judge_retained(dict.fromkeys("abc", scores(before)), after, CONFIG)
        )
    assert wrong / 100 == pytest.approx(0.05, abs=0.04)


def test_how_far_a_model_lost_is_of_its_worst_set_the_mean_beyond_the_tolerance():
    before = np.full(20, 0.5)
    same = {"a": scores(before, before), "b": scores(before, before)}
    now = {"a": scores(before - 0.025, before), "b": scores(before + 0.1, before - 0.003)}
    assert how_far_lost(judge_retained(same, now, CONFIG), CONFIG.tolerance) == pytest.approx(0.01)
    assert how_far_lost(judge_retained(same, same, CONFIG), CONFIG.tolerance) == 0.0
