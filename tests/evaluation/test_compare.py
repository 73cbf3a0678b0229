from collections.abc import Mapping
from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.random import default_rng

from medembed.errors import DataError
from medembed.evaluation.compare import compare, compare_all, compare_evaluations
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, Units

CONFIG = EvaluationConfig(bootstrap_samples=400)
COUNT = 60
FRENCH = np.arange(COUNT) % 3 == 0


def units(prefix: str) -> Units:
    """60 units in 30 groups of two; every third is French, the first 40 are lay."""
    rows = range(COUNT)
    return Units(
        ids=tuple(f"{prefix}{n}" for n in rows),
        groups=tuple(f"group{n // 2}" for n in rows),
        languages=tuple("fr" if french else "en" for french in FRENCH),
        tags=tuple(("lay",) if n < 40 else () for n in rows),
    )


def ranked(name: str, dimensions: Mapping[int, float], *, seed: int) -> Evaluation:
    """Queries at the dimensions given, each with the mean of its NDCG; recall, and triplets of some
    queries.
    """
    generator = default_rng(seed)
    triplets = np.where(np.arange(COUNT) < 30, generator.uniform(size=COUNT), np.nan)
    values = {
        d: {
            "ndcg@10": np.clip(generator.normal(mean, 0.1, size=COUNT), 0, 1),
            "recall@10": generator.integers(0, 2, size=COUNT).astype(np.float64),
            "mrr@10": generator.uniform(size=COUNT),
            "triplet_accuracy": triplets,
        }
        for d, mean in dimensions.items()
    }
    queries = Measured(units("q"), values, {"triplet_accuracy": np.arange(COUNT) + 1.0}, {})
    return Evaluation(name, f"/{name}", f"{name}-encoder", queries=queries)


def scored(evaluation: Evaluation, *dimensions: int, seed: int) -> Evaluation:
    similarity, *cosines = default_rng(seed).uniform(size=(1 + len(dimensions), COUNT))
    similarity = np.linspace(0, 1, COUNT)
    return replace(
        evaluation,
        pairs=Scored(units("p"), similarity, dict(zip(dimensions, cosines, strict=True))),
    )


@pytest.fixture
def base() -> Evaluation:
    return scored(ranked("base", {64: 0.5, 16: 0.3}, seed=0), 64, 16, seed=10)


@pytest.fixture
def tuned() -> Evaluation:
    return scored(ranked("tuned", {64: 0.7, 32: 0.6, 16: 0.5}, seed=1), 64, 32, 16, seed=11)


def gains(
    before: Evaluation, after: Evaluation, metric: str, dimensions: tuple[int, int]
) -> Values:
    assert before.queries is not None
    assert after.queries is not None
    return (
        after.queries.values[dimensions[1]][metric] - before.queries.values[dimensions[0]][metric]
    )


def test_copies_of_a_query_in_one_group_do_not_narrow_the_interval():
    generator = default_rng(0)
    gain = generator.normal(0, 0.1, size=60)
    groups = np.sort([str(n) for n in range(60)]).tolist()
    once = compare(np.zeros(60), gain, groups, samples=2000, seed=1)
    copies = compare(
        np.zeros(600), np.repeat(gain, 10), np.repeat(groups, 10).tolist(), samples=2000, seed=1
    )
    assert (copies.units, copies.groups) == (600, 60)
    assert astuple(copies)[:7] == pytest.approx(astuple(once)[:7])


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = default_rng(0).uniform(size=(2, 50))
    groups = [str(n % 20) for n in range(50)]
    rows = [compare(*values, groups, samples=200, seed=seed) for seed in (3, 3, 4)]
    assert rows[0] == rows[1] != rows[2]


def test_weights_say_how_much_a_unit_counts_and_nan_does_not():
    before, after = np.array([0.0, 0.5, np.nan]), np.array([1.0, 0.5, 1.0])
    row = compare(
        before, after, ["a", "b", "c"], samples=100, seed=0, weights=np.array([3.0, 1.0, 5.0])
    )
    assert (row.before, row.after, row.mean) == pytest.approx((0.125, 0.875, 0.75))
    assert (row.units, row.groups) == (2, 2)
    with pytest.raises(DataError, match="none counts in both"):
        compare(before, np.full(3, np.nan), ["a", "b", "c"], samples=100, seed=0)


def test_differences_are_those_of_the_means_that_both_evaluations_show(
    base: Evaluation, tuned: Evaluation
):
    comparison = compare_evaluations(base, tuned, CONFIG)
    assert (comparison.model, comparison.baseline, comparison.objective) == (
        "tuned",
        "base",
        "ndcg@10",
    )
    assert list(comparison.differences) == ["ndcg@10", "recall@10", "spearman", "triplet_accuracy"]
    for metric, rows in comparison.differences.items():
        assert list(rows) == [64, 32, 16]
        for dimension, row in rows.items():
            expected = base.metrics[row.dimension][metric], tuned.metrics[dimension][metric]
            assert (row.before, row.after) == pytest.approx(expected)
            assert row.mean == pytest.approx(expected[1] - expected[0])
            assert row.sure_low <= row.low < row.high <= row.sure_high
    assert (comparison.units, comparison.groups) == (60, 30)
    assert comparison.differences["triplet_accuracy"][64].units == 30


def test_a_dimension_that_the_baseline_lacks_is_compared_with_its_widest(
    base: Evaluation, tuned: Evaluation
):
    comparison = compare_evaluations(base, tuned, CONFIG)
    for rows in comparison.differences.values():
        assert {dimension: row.dimension for dimension, row in rows.items()} == {
            64: 64,
            32: 64,
            16: 16,
        }


def test_a_ranking_without_vectors_stands_beside_every_dimension(tuned: Evaluation):
    comparison = compare_evaluations(ranked("bm25", {NO_VECTORS: 0.4}, seed=2), tuned, CONFIG)
    rows = comparison.differences["ndcg@10"]
    assert list(rows) == [64, 32, 16]
    assert {(row.dimension, row.before) for row in rows.values()} == {(NO_VECTORS, rows[64].before)}
    assert "spearman" not in comparison.differences


def test_narrow_holds_the_model_at_each_dimension_against_the_baseline_at_its_widest(
    base: Evaluation, tuned: Evaluation
):
    comparison = compare_evaluations(base, tuned, CONFIG)
    assert [row.dimension for row in comparison.narrow.values()] == [64, 64, 64]
    assert comparison.narrow[16].mean == pytest.approx(
        gains(base, tuned, "ndcg@10", (64, 16)).mean()
    )
    assert comparison.narrow[64] == comparison.differences["ndcg@10"][64]
    assert comparison.narrow[16].mean < comparison.differences["ndcg@10"][16].mean


def test_slices_are_of_the_objective_in_each_language_and_tag(base: Evaluation, tuned: Evaluation):
    comparison = compare_evaluations(base, tuned, CONFIG)
    assert list(comparison.slices) == [("language", "en"), ("language", "fr"), ("tag", "lay")]
    row = comparison.slices["language", "fr"][16]
    assert row.mean == pytest.approx(gains(base, tuned, "ndcg@10", (16, 16))[FRENCH].mean())
    assert (row.units, row.groups, row.dimension) == (20, 20, 16)


def test_slices_of_scored_pairs_correlate_within_the_slice(base: Evaluation, tuned: Evaluation):
    only = [replace(evaluation, queries=None) for evaluation in (base, tuned)]
    comparison = compare_evaluations(*only, CONFIG)
    assert comparison.objective == "spearman"
    for key, rows in comparison.slices.items():
        expected = [evaluation.slices()[key][16]["spearman"] for evaluation in only]
        assert (rows[16].before, rows[16].after) == pytest.approx(expected)


def test_equal_evaluations_differ_by_nothing_and_are_sure_of_it(tuned: Evaluation):
    comparison = compare_evaluations(tuned, tuned, CONFIG)
    rows = [
        row for by_dimension in comparison.differences.values() for row in by_dimension.values()
    ]
    assert len(rows) == 12
    assert [bound for row in rows for bound in astuple(row)[2:7]] == pytest.approx([0] * 60)


def test_every_further_baseline_makes_sure_intervals_wider_and_leaves_the_others(
    base: Evaluation, tuned: Evaluation
):
    others = [
        scored(ranked(f"other{n}", {64: 0.5, 16: 0.4}, seed=20 + n), 64, 16, seed=30 + n)
        for n in range(3)
    ]
    alone, together = (
        compare_evaluations(base, tuned, CONFIG),
        compare_all([base, *others], tuned, CONFIG),
    )
    assert [comparison.baseline for comparison in together] == [
        "base",
        "other0",
        "other1",
        "other2",
    ]
    one, all_ = alone.differences["ndcg@10"][64], together[0].differences["ndcg@10"][64]
    assert (one.mean, one.low, one.high) == pytest.approx((all_.mean, all_.low, all_.high))
    assert all_.sure_low < one.sure_low
    assert one.sure_high < all_.sure_high


def test_a_family_that_no_baseline_has_changes_no_draw(tuned: Evaluation):
    bm25 = ranked("bm25", {NO_VECTORS: 0.4}, seed=2)
    assert tuned.pairs is not None
    renamed = replace(tuned.pairs.units, groups=tuple(f"other{n}" for n in range(COUNT)))
    elsewhere = replace(tuned, pairs=replace(tuned.pairs, units=renamed))
    assert compare_all([bm25], elsewhere, CONFIG) == compare_all(
        [bm25], replace(tuned, pairs=None), CONFIG
    )


def test_nothing_to_compare_is_an_error_that_names_both(base: Evaluation, tuned: Evaluation):
    with pytest.raises(DataError, match="/tuned: no metric to compare that /base has"):
        compare_evaluations(replace(base, pairs=None), replace(tuned, queries=None), CONFIG)
    assert compare_all([], tuned, CONFIG) == []


def test_a_difference_says_where_lower_is_better():
    units = Units(tuple("abcd"), tuple("abcd"), ("en",) * 4, ((),) * 4)
    values = {
        8: {
            "ndcg@10": np.array([0.1, 0.2, 0.3, 0.4]),
            "negative_accuracy@10": np.array([0.0, 1.0, 1.0, 0.0]),
        }
    }
    one = Evaluation("one", "", "e", Measured(units, values, {}, {}))
    differences = compare_evaluations(one, one, EvaluationConfig(bootstrap_samples=100)).differences
    assert {name: rows[8].is_lower_better for name, rows in differences.items()} == {
        "ndcg@10": False,
        "negative_accuracy@10": True,
    }
