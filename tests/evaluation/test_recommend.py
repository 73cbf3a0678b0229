"""A dimension for each use, from options by hand and from measured values."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from medembed.evaluation.compare import compare
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.recommend import (
    Option,
    Recommendation,
    choose,
    format_recommendation,
    recommend,
)
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, Units
from medembed.language import current_language, use_language

CONFIG = EvaluationConfig(bootstrap_samples=300)


def options(*rows: tuple[int, float, float, float]) -> tuple[Option, ...]:
    """Of (dimension, quality, low, high)."""
    best = max(quality for _, quality, *_ in rows)
    return tuple(Option(d, quality, quality / best, low, high) for d, quality, low, high in rows)


TYPICAL = options(
    (384, 0.600, 0.0, 0.0),
    (256, 0.599, -0.004, 0.002),
    (128, 0.594, -0.009, -0.003),
    (64, 0.575, -0.031, -0.019),
    (32, 0.545, -0.065, -0.045),
)
UNSURE = options((384, 0.600, 0.0, 0.0), (32, 0.599, -0.050, 0.048))
FALLING = options((384, 0.6, 0.0, 0.0), (64, 0.5, -0.12, -0.08), (32, 0.3, -0.4, -0.2))
EQUAL = options((64, 0.5, 0.0, 0.0), (32, 0.5, 0.0, 0.0))
NEARLY = options((384, 1.0, 0.0, 0.0), (32, 0.9499, -0.06, -0.04))
ALONE = "nothing narrower was measured"


@pytest.mark.parametrize(
    ("rows", "dimensions", "reasons"),
    [
        (
            TYPICAL,
            (384, 128, 64),
            (
                "the highest quality, 0.600; not surely worse: 256 (-0.001 [-0.004, +0.002])",
                "the narrowest that surely loses at most 0.01: -0.006 [-0.009, -0.003]",
                "the narrowest that keeps 95% of the quality: 95.8%",
            ),
        ),
        (
            UNSURE,
            (384, 384, 32),
            (
                "the highest quality, 0.600; not surely worse: 32 (-0.001 [-0.050, +0.048])",
                "none narrower surely loses at most 0.01; the nearest is 32 "
                "(-0.001 [-0.050, +0.048])",
                "the narrowest that keeps 95% of the quality: 99.8%",
            ),
        ),
        (
            FALLING,
            (384, 384, 384),
            (
                "the highest quality, 0.600; every narrower one is surely worse",
                "none narrower surely loses at most 0.01; the nearest is 64 "
                "(-0.100 [-0.120, -0.080])",
                "none narrower keeps 95% of the quality; the nearest is 64 (83.3%)",
            ),
        ),
        (EQUAL, (32, 32, 32), (f"the highest quality, 0.500; {ALONE}", ALONE, ALONE)),
    ],
    ids=["typical", "unsure", "falling", "equal"],
)
def test_each_use_gets_the_dimension_of_its_rule_and_a_reason_in_numbers(
    rows: tuple[Option, ...], dimensions: tuple[int, ...], reasons: tuple[str, ...]
):
    for ordered in (rows, rows[::-1]):
        choices = choose(ordered)
        assert [choice.use for choice in choices] == ["best", "balanced", "light"]
        assert tuple(choice.option.dimension for choice in choices) == dimensions
        assert tuple(choice.reason for choice in choices) == reasons


def test_a_share_is_never_rounded_up_to_the_limit_that_it_missed():
    assert choose(NEARLY)[2].reason.endswith("the nearest is 32 (94.9%)")


def test_the_terminal_shows_every_option_and_every_use():
    rows = options((384, 0.600, 0.0, 0.0), (32, 0.590, -0.02, -0.001))
    lines = format_recommendation(Recommendation("ndcg@10", rows, choose(rows)))
    assert lines[1].split()[:3] == ["dimensions", "bytes/vector", "NDCG@10"]
    assert [line.split() for line in lines[2:4]] == [
        ["384", "1,536", "0.600", "100%"],
        ["32", "128", "0.590", "98.3%", "-0.010", "[-0.020,", "-0.001]"],
    ]
    assert [line.split()[:2] for line in lines[4:]] == [
        ["best:", "384"],
        ["balanced:", "384"],
        ["light:", "32"],
    ]
    assert format_recommendation(None) == []


def units(number: int, groups: int) -> Units:
    ids = tuple(f"u{n}" for n in range(number))
    return Units(
        ids, tuple(f"g{n % groups}" for n in range(number)), ("en",) * number, ((),) * number
    )


def weighed(
    values: dict[int, dict[str, Values]], about: Units, **weights: Values
) -> Recommendation:
    recommended = recommend(
        Evaluation("m", "", "e", queries=Measured(about, values, weights, {})), CONFIG
    )
    assert recommended is not None
    return recommended


def test_options_have_means_shares_and_the_paired_interval_to_the_best_dimension():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.8, size=120)
    values = {384: base - 0.01, 128: base + 0.0, 32: base - generator.uniform(0, 0.2, size=120)}
    about = units(120, 40)
    recommended = weighed(
        {d: {"ndcg@10": row, "recall@10": 1 - row} for d, row in values.items()}, about
    )
    assert [(row.dimension, row.bytes_per_vector) for row in recommended.options] == [
        (384, 1536),
        (128, 512),
        (32, 128),
    ]
    for row in recommended.options:
        assert row.quality == pytest.approx(values[row.dimension].mean())
        assert row.kept == pytest.approx(values[row.dimension].mean() / base.mean())
        expected = compare(base, values[row.dimension], about.groups, samples=300, seed=0)
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert recommended.choices[0].option.dimension == 128


def test_a_language_that_a_chosen_dimension_fails_is_named_beside_the_mean_that_hides_it():
    about = replace(units(200, 200), languages=("fr",) * 20 + ("en",) * 180)
    full = np.full(200, 0.8) + np.random.default_rng(0).uniform(-0.1, 0.1, 200)
    narrow = np.where(np.arange(200) < 20, full * 0.6, full)
    recommended = weighed({384: {"ndcg@10": full}, 64: {"ndcg@10": narrow}}, about)
    (warning,) = recommended.warnings
    assert warning.startswith("64 dimensions keep 96% in the mean, but 60% of language fr: NDCG@10")

    before = current_language()
    use_language("fr")
    recommended = weighed({384: {"ndcg@10": full}, 64: {"ndcg@10": narrow}}, about)
    (in_french,) = recommended.warnings
    use_language(before)
    assert "langue fr" in in_french
    worst = [option.worst for option in recommended.options if option.worst]
    assert [loss.name for loss in worst] == ["language fr"], "as JSON has it"
    assert format_recommendation(recommended)[-1] == f"! {warning}"
    fair = weighed({384: {"ndcg@10": full}, 64: {"ndcg@10": full * 0.97}}, about)
    assert fair.warnings == []


def test_weights_and_queries_that_a_metric_does_not_apply_to_are_counted_as_in_its_mean():
    wide, narrow, weights = np.random.default_rng(1).uniform(size=(3, 60))
    wide[:5] = narrow[:5] = np.nan
    rows = {64: {"triplet_accuracy": wide + 0.5}, 8: {"triplet_accuracy": narrow}}
    recommended = weighed(rows, units(60, 30), triplet_accuracy=weights).options
    means = [np.average(row[5:], weights=weights[5:]) for row in (wide + 0.5, narrow)]
    assert [row.quality for row in recommended] == pytest.approx(means)
    assert recommended[1].low < means[1] - means[0] < recommended[1].high < 0


def test_scored_pairs_are_weighed_by_their_rank_correlation():
    generator = np.random.default_rng(2)
    similarity = generator.uniform(size=80)
    cosines = {d: similarity + generator.normal(0, noise, 80) for d, noise in ((64, 0.1), (8, 1.0))}
    recommended = recommend(
        Evaluation("m", "", "e", pairs=Scored(units(80, 40), similarity, cosines)), CONFIG
    )
    assert recommended is not None
    expected = [stats.spearmanr(similarity, cosines[d])[0] for d in (64, 8)]
    assert [row.quality for row in recommended.options] == pytest.approx(expected)
    assert recommended.options[1].low < expected[1] - expected[0] < recommended.options[1].high < 0


@pytest.mark.parametrize(
    "values",
    [{NO_VECTORS: 1.0}, {8: 1.0}, {8: 0.0, 4: 0.0}],
    ids=["no vectors", "one dimension", "no quality"],
)
def test_where_there_is_nothing_to_choose_from_nothing_is_recommended(values: dict[int, float]):
    rows = {d: {"ndcg@10": np.full(3, value)} for d, value in values.items()}
    measured = Measured(units(3, 3), rows, {}, {})
    assert recommend(Evaluation("m", "", "e", queries=measured), CONFIG) is None
