import struct
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from medembed.errors import DataError
from medembed.evaluation.compare import compare
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.recommend import (
    Option,
    RecommendConfig,
    choose,
    draw_tradeoff,
    format_choices,
    weigh,
)
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, Units

CONFIG = EvaluationConfig(bootstrap_samples=300)
MS = {384: 4.0, 128: 1.5, 32: 0.5}


def options(*rows: tuple[int, float, float, float, float]) -> list[Option]:
    """Of (dimension, quality, low, high, ms)."""
    best = max(quality for _, quality, *_ in rows)
    return [
        Option(d, quality, quality / best, low, high, 4 * d, ms)
        for d, quality, low, high, ms in rows
    ]


TYPICAL = options(
    (384, 0.600, 0.0, 0.0, 4.0),
    (256, 0.599, -0.004, 0.002, 2.6),
    (128, 0.594, -0.009, -0.003, 1.3),
    (64, 0.575, -0.031, -0.019, 0.70),
    (48, 0.550, -0.060, -0.040, 0.52),
    (32, 0.545, -0.065, -0.045, 0.50),
    (16, 0.300, -0.350, -0.250, 0.20),
)


def chosen(rows: list[Option], config: RecommendConfig | None = None) -> dict[str, int]:
    return {
        choice.use: choice.option.dimension for choice in choose(rows, config or RecommendConfig())
    }


def reasons(rows: list[Option]) -> dict[str, str]:
    return {choice.use: choice.reason for choice in choose(rows, RecommendConfig())}


def units(number: int, groups: int) -> Units:
    return Units(
        tuple(f"u{n}" for n in range(number)),
        tuple(f"g{n % groups}" for n in range(number)),
        ("en",) * number,
        ((),) * number,
    )


def test_each_use_gets_the_dimension_of_its_rule():
    assert chosen(TYPICAL) == {"best": 384, "balanced": 128, "light": 64, "fastest": 48}
    strict = RecommendConfig(balanced_loss=0.005, light_kept=0.99, fastest_kept=0.95, same_time=0.0)
    assert chosen(TYPICAL, strict) == {"best": 384, "balanced": 256, "light": 128, "fastest": 64}


def test_the_order_of_options_changes_nothing():
    assert chosen(TYPICAL[::-1]) == chosen(TYPICAL)


def test_reasons_give_the_numbers_and_say_what_is_not_sure():
    assert reasons(TYPICAL) == {
        "best": "the highest quality, 0.600; not surely worse: 256 (-0.001 [-0.004, +0.002])",
        "balanced": "the narrowest that surely loses at most 0.01: -0.006 [-0.009, -0.003]",
        "light": "the narrowest that keeps 95% of the quality: 95.8%",
        "fastest": "0.52 ms per query instead of 4, keeps 91.6% of the quality; "
        "32 is not measurably faster, and no better",
    }


def test_balanced_goes_by_the_interval_and_not_by_the_mean():
    rows = options((384, 0.600, 0.0, 0.0, 4.0), (32, 0.599, -0.050, 0.048, 0.5))
    assert chosen(rows)["balanced"] == 384
    assert reasons(rows)["balanced"] == (
        "none narrower surely loses at most 0.01; the nearest is 32 (-0.001 [-0.050, +0.048])"
    )


def test_where_no_narrower_dimension_qualifies_the_nearest_is_named():
    rows = options(
        (384, 0.6, 0.0, 0.0, 4.0), (64, 0.5, -0.12, -0.08, 0.7), (32, 0.3, -0.4, -0.2, 0.5)
    )
    assert set(chosen(rows).values()) == {384}
    assert reasons(rows) == {
        "best": "the highest quality, 0.600; every narrower one is surely worse",
        "balanced": "none narrower surely loses at most 0.01; the nearest is 64 (-0.100 [-0.120, -0.080])",
        "light": "none narrower keeps 95% of the quality; the nearest is 64 (83.3%)",
        "fastest": "none narrower keeps 90% of the quality; the nearest is 64 (83.3%)",
    }
    assert set(reasons(rows[:1]).values()) == {
        "the highest quality, 0.600; nothing narrower was measured",
        "nothing narrower was measured",
    }


def test_of_equal_quality_the_narrower_dimension_is_best():
    assert chosen(options((64, 0.5, 0.0, 0.0, 1.0), (32, 0.5, 0.0, 0.0, 0.5)))["best"] == 32


def test_a_share_is_never_rounded_up_to_the_limit_that_it_missed():
    rows = options((384, 1.0, 0.0, 0.0, 4.0), (32, 0.9499, -0.06, -0.04, 0.5))
    assert reasons(rows)["light"].endswith("the nearest is 32 (94.9%)")


def test_the_terminal_shows_every_option_every_use_and_what_they_share():
    rows = options((384, 0.600, 0.0, 0.0, 4.0), (32, 0.590, -0.02, -0.001, 0.5))
    lines = format_choices(rows, choose(rows, RecommendConfig()), objective="NDCG@10")
    assert [line.split() for line in lines[1:3]] == [
        ["384", "1,536", "0.600", "100%", "4.00"],
        ["32", "128", "0.590", "98.3%", "-0.010", "[-0.020,", "-0.001]", "0.50"],
    ]
    assert lines[0].split()[:3] == ["dimensions", "bytes/vector", "NDCG@10"]
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["best:", "384"],
        ["balanced:", "384"],
        ["light:", "32"],
        ["fastest:", "32"],
    ]
    assert lines[7:] == [
        "384 dimensions serve best and balanced alike.",
        "32 dimensions serve light and fastest alike.",
    ]


def test_the_plot_is_a_png_of_known_size_whose_bytes_do_not_change():
    for rows in (TYPICAL, TYPICAL[:1]):
        choices = choose(rows, RecommendConfig())
        png = draw_tradeoff(rows, choices)
        assert png == draw_tradeoff(rows, choices)
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">II", png[16:24]) == (920, 640)


def test_options_of_queries_have_means_shares_and_the_paired_interval_to_the_best_dimension():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.8, size=120)
    values = {384: base - 0.01, 128: base + 0.0, 32: base - generator.uniform(0, 0.2, size=120)}
    measured = Measured(
        units(120, 40),
        {d: {"ndcg@10": row, "recall@10": 1 - row} for d, row in values.items()},
        {},
        {},
    )
    found = weigh(Evaluation("m", "u", "e", queries=measured), MS, CONFIG)
    assert [(row.dimension, row.bytes_per_vector, row.search_ms) for row in found] == [
        (384, 1536, 4.0),
        (128, 512, 1.5),
        (32, 128, 0.5),
    ]
    for row in found:
        assert row.quality == pytest.approx(values[row.dimension].mean())
        assert row.kept == pytest.approx(values[row.dimension].mean() / base.mean())
        expected = compare(base, values[row.dimension], measured.units.groups, samples=300, seed=0)
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (found[1].low, found[1].high) == (0.0, 0.0)
    assert found[2].low < found[2].quality - found[1].quality < found[2].high < 0


def test_a_language_that_a_chosen_dimension_fails_is_named_beside_the_mean_that_hides_it():
    spoken = ("fr",) * 20 + ("en",) * 180
    full = np.full(200, 0.8) + np.random.default_rng(0).uniform(-0.1, 0.1, 200)
    narrow = np.where(np.arange(200) < 20, full * 0.6, full)
    values = {384: {"ndcg@10": full}, 64: {"ndcg@10": narrow}}
    measured = Measured(replace(units(200, 200), languages=spoken), values, {}, {})
    found = weigh(Evaluation("m", "u", "e", queries=measured), {384: 4.0, 64: 1.0}, CONFIG)
    assert found[0].worst is None
    assert found[1].kept == pytest.approx(narrow.mean() / full.mean())
    assert found[1].kept > 0.95
    worst = found[1].worst
    assert worst is not None
    assert (worst.name, worst.units, worst.kept) == ("language fr", 20, pytest.approx(0.6))
    lines = format_choices(found, choose(found, RecommendConfig()), objective="NDCG@10")
    (warning,) = [line for line in lines if line.startswith("!")]
    assert warning.startswith(
        "! 64 dimensions keep 96% in the mean, but 60% of language fr: NDCG@10"
    )
    fair = replace(measured, values={384: {"ndcg@10": full}, 64: {"ndcg@10": full * 0.97}})
    assert weigh(Evaluation("m", "u", "e", queries=fair), MS | {64: 1.0}, CONFIG)[1].worst is None


def test_weights_and_queries_that_a_metric_does_not_apply_to_are_counted_as_in_its_mean():
    generator = np.random.default_rng(1)
    wide, narrow, weights = generator.uniform(size=(3, 60))
    wide[:5] = narrow[:5] = np.nan
    rows = {64: {"triplet_accuracy": wide + 0.5}, 8: {"triplet_accuracy": narrow}}
    measured = Measured(units(60, 30), rows, {"triplet_accuracy": weights}, {})
    found = weigh(Evaluation("m", "u", "e", queries=measured), {64: 1.0, 8: 0.5}, CONFIG)
    means = [np.average(row[5:], weights=weights[5:]) for row in (wide + 0.5, narrow)]
    assert [row.quality for row in found] == pytest.approx(means)
    assert found[1].low < means[1] - means[0] < found[1].high < 0


def test_scored_pairs_are_weighed_by_their_rank_correlation():
    generator = np.random.default_rng(2)
    similarity = generator.uniform(size=80)
    cosines = {
        64: similarity + generator.normal(0, 0.1, 80),
        8: similarity + generator.normal(0, 1.0, 80),
    }
    scored = Scored(units(80, 40), similarity, cosines)
    found = weigh(Evaluation("m", "u", "e", pairs=scored), {64: 1.0, 8: 0.5}, CONFIG)
    expected = [stats.spearmanr(similarity, cosines[d])[0] for d in (64, 8)]
    assert [row.quality for row in found] == pytest.approx(expected)
    assert (found[0].low, found[0].high) == (0.0, 0.0)
    assert found[1].low < expected[1] - expected[0] < found[1].high < 0


def test_an_evaluation_with_nothing_to_choose_from_is_refused():
    unmeasured = Measured(units(3, 3), {NO_VECTORS: {"ndcg@10": np.ones(3)}}, {}, {})
    with pytest.raises(DataError, match="no quality was measured"):
        weigh(Evaluation("m", "u", "e", queries=unmeasured), {}, CONFIG)
    useless = Measured(units(3, 3), {8: {"ndcg@10": np.zeros(3)}}, {}, {})
    with pytest.raises(DataError, match=r"ndcg@10 is at most 0.000 at all dimensions"):
        weigh(Evaluation("m", "u", "e", queries=useless), {8: 1.0}, CONFIG)
