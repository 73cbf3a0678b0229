import dataclasses
import math

import pytest

from medembed.evaluation.compare import Comparison, Difference, compare_all
from medembed.evaluation.result import NO_VECTORS
from medembed.evaluation.words import (
    GAIN,
    LOSS,
    NO_INTERVAL,
    UNSURE,
    count_groups,
    count_units,
    format_metrics,
    format_slices,
    format_table,
    interval,
    label,
    listed,
    number,
    units_of,
    verdict,
)
from tests.evaluation.pages import (
    CONFIG,
    WIDTHS,
    make_difference,
    make_pairs,
    make_ranking,
    make_units,
)

UNITS = make_units(30, 20)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("ndcg@10", "NDCG@10"),
        ("recall@100", "recall@100"),
        ("mrr@3", "MRR@3"),
        ("knn_accuracy", "kNN accuracy"),
        ("negative_accuracy@10", "negative accuracy@10"),
        ("spearman", "Spearman"),
    ],
)
def test_metrics_have_the_names_that_people_write(metric: str, name: str):
    assert label(metric) == name


def test_numbers_that_are_not_defined_are_shown_as_a_dash():
    assert [number(value) for value in (0.12345, math.nan, math.inf)] == ["0.123", "–", "–"]
    assert number(0.5, "+.1%") == "+50.0%"


def test_counts_and_lists_read_as_in_a_sentence():
    metrics = ("ndcg@10", "spearman", "knn_accuracy")
    assert [count_units(metric, 1) for metric in metrics] == [
        "1 query",
        "1 scored pair",
        "1 labelled document",
    ]
    assert (count_units("ndcg@10", 12345), count_groups(1)) == ("12,345 queries", "1 group")
    assert [listed([1]), listed([1, 2]), listed([1, 2, 3])] == ["1", "1 and 2", "1, 2 and 3"]
    assert [units_of(m) for m in ("ndcg@10", "knn_accuracy", "pearson")] == [
        "queries",
        "labelled documents",
        "scored pairs",
    ]


def test_a_verdict_goes_by_the_interval_that_holds_for_all_differences_at_once():
    assert verdict(make_difference(0.4, 0.5, sure=0.09)) == GAIN
    assert verdict(make_difference(0.4, 0.5, alone=0.05, sure=0.11)) == UNSURE
    assert verdict(make_difference(0.5, 0.4, alone=0.05, sure=0.11)) == UNSURE
    assert verdict(make_difference(0.5, 0.4, sure=0.09)) == LOSS


def test_where_lower_is_better_a_sure_fall_is_a_gain():
    fall, rise = make_difference(0.5, 0.1), make_difference(0.1, 0.5)
    assert verdict(dataclasses.replace(fall, is_lower_better=True)) == GAIN
    assert verdict(dataclasses.replace(rise, is_lower_better=True)) == LOSS


def test_an_interval_that_is_not_finite_is_said_to_be_none():
    assert interval(make_difference(0.4, 0.5, alone=0.02)) == "[+0.080, +0.120]"
    assert interval(make_difference(0.4, 0.5, alone=math.inf)) == NO_INTERVAL
    assert interval(make_difference(0.4, 0.5, alone=math.nan)) == NO_INTERVAL


def make_comparison(
    rows: dict[int, Difference], slices: dict[tuple[str, str], dict[int, Difference]]
) -> Comparison:
    return Comparison(
        "new", "old", "ndcg@10", {"ndcg@10": rows}, rows, slices, units=1204, groups=300
    )


def test_the_table_has_a_line_per_dimension_widest_first_and_marks_what_is_sure():
    rows = {
        32: make_difference(0.3, 0.31, alone=0.02, sure=0.05),
        64: make_difference(0.4, 0.5, 0.02, 0.04, at=64),
    }
    lines = format_table(make_comparison(rows, {})).splitlines()
    assert lines[0] == "before: old, after: new"
    assert lines[1].split() == [
        "dimensions",
        "NDCG@10:",
        "before,",
        "after,",
        "difference",
        "[95%]",
    ]
    assert lines[2].split() == ["64", "0.400", "0.500", "+0.100", "[+0.080,", "+0.120]", "*"]
    assert lines[3].split() == ["32", "0.300", "0.310", "+0.010", "[-0.010,", "+0.030]"]
    assert lines[4].startswith("(1,204 queries in 300 groups; each interval resamples groups")
    assert {line.index("+0.") for line in lines[2:4]} == {lines[2].index("+0.")}


def test_the_table_says_when_the_baseline_stands_at_another_dimension():
    lines = format_table(make_comparison({64: make_difference(0.3, 0.4, at=384)}, {})).splitlines()
    assert lines[2].split()[:3] == ["64", "to", "384"]
    lines = format_table(
        make_comparison({64: make_difference(0.3, 0.4, at=NO_VECTORS)}, {})
    ).splitlines()
    assert lines[2].split()[:2] == ["64", "0.300"]


def test_slices_are_shown_at_the_widest_dimension_with_their_counts():
    rows = {
        32: make_difference(0.1, 0.2),
        64: make_difference(0.3, 0.2, 0.01, 0.02, units=7, groups=5),
    }
    lines = format_slices(make_comparison(rows, {("language", "fr"): rows})).splitlines()
    assert lines[1].split() == [
        "language",
        "fr",
        "7",
        "5",
        "0.300",
        "0.200",
        "-0.100",
        "[-0.110,",
        "-0.090]",
        "*",
    ]
    assert format_slices(make_comparison(rows, {})) == ""


def test_one_model_alone_has_a_line_per_dimension_with_its_means():
    model = make_ranking("model", 0.5, WIDTHS, UNITS)
    names, *lines = format_metrics(model)
    assert names.split() == ["dimensions", "NDCG@10", "recall@10", "MRR@10"]
    for line, (dimension, row) in zip(lines, model.metrics.items(), strict=True):
        assert line.split() == [
            str(dimension),
            *(f"{row[m]:.3f}" for m in ("ndcg@10", "recall@10", "mrr@10")),
        ]


def test_a_ranking_without_vectors_and_a_metric_that_is_not_defined_are_dashes():
    assert format_metrics(make_ranking("BM25", 0.5, (NO_VECTORS,), UNITS))[1].split()[0] == "–"
    both = make_pairs("new", 0.1, UNITS), make_pairs("old", 0.2, UNITS)
    text = format_table(compare_all([both[1]], both[0], CONFIG)[0])
    assert "Spearman" in text
    assert "30 scored pairs in 20 groups" in text
    assert "nan" not in text
