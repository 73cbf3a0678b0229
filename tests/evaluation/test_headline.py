import dataclasses
import math

import pytest

from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.report.headline import headline, headlines, warnings
from medembed.evaluation.report.page import Page
from medembed.evaluation.result import NO_VECTORS
from tests.evaluation.pages import (
    UNITS,
    WIDTHS,
    compared,
    make_difference,
    make_inspection,
    make_ranking,
    ranked,
)


def make_comparison(
    same: dict[int, Difference], narrow: dict[int, Difference] | None = None, groups: int = 50
) -> Comparison:
    """Of "new" against "old": at the same dimension, and against the baseline at its widest."""
    return Comparison(
        "new", "old", "ndcg@10", {"ndcg@10": same}, narrow or {}, {}, units=100, groups=groups
    )


GAIN_AT_64 = {64: make_difference(0.4, 0.5, at=64)}


def test_the_headline_names_the_smallest_dimension_that_surely_beats_the_full_width_before():
    narrow = {
        d: make_difference(0.4, after, at=64)
        for d, after in ((64, 0.5), (32, 0.48), (16, 0.45), (8, 0.42))
    }
    assert narrow[8].low == pytest.approx(0)
    assert headline(make_comparison(GAIN_AT_64, narrow)) == (
        "16 dimensions of new (NDCG@10 0.450) beat 64 of old (0.400): 4 times less to store "
        "and search."
    )


def test_the_headline_does_not_call_it_smaller_when_only_the_same_or_a_wider_dimension_wins():
    narrow = {64: make_difference(0.4, 0.5, at=64), 32: make_difference(0.4, 0.41, at=64)}
    rows = {**GAIN_AT_64, 32: make_difference(0.35, 0.41, at=32)}
    assert headline(make_comparison(rows, narrow)) == (
        "new is better than old at every dimension: NDCG@10 0.500 against 0.400 at 64."
    )
    wider = {128: make_difference(0.4, 0.5, at=64)}
    assert headline(make_comparison(wider, wider)) == (
        "new is better than old at 128 dimensions: NDCG@10 0.500 against 0.400."
    )


def test_the_headline_says_plainly_where_the_model_is_worse():
    rows = {64: make_difference(0.5, 0.4, at=64), 32: make_difference(0.4, 0.4, at=32)}
    assert (
        headline(make_comparison(rows))
        == "new is worse than old at 64 dimensions: NDCG@10 0.400 against 0.500."
    )
    mixed = {64: make_difference(0.4, 0.5, at=64), 32: make_difference(0.4, 0.3, at=32)}
    assert headline(make_comparison(mixed)) == (
        "new is better than old at 64 dimensions: NDCG@10 0.500 against 0.400. "
        "new is worse than old at 32 dimensions: NDCG@10 0.300 against 0.400."
    )


def test_the_headline_claims_nothing_that_is_not_sure_of_all_differences_together():
    rows = {64: make_difference(0.4, 0.5, alone=0.02, sure=0.11, at=64)}
    assert headline(make_comparison(rows, rows)) == (
        "No sure difference between new and old: NDCG@10 0.500 against 0.400 at the widest "
        "dimension, difference +0.100 [+0.080, +0.120]."
    )


def test_the_headline_says_when_there_are_too_few_groups_to_be_sure():
    rows = {64: make_difference(0.4, 0.5, alone=math.inf, sure=math.inf, at=64)}
    assert headline(make_comparison(rows, groups=3)).endswith(
        "Nothing is sure with fewer than 10 groups (here 3)."
    )


def test_the_headline_against_a_ranking_without_vectors_speaks_of_no_dimensions_of_it():
    rows = {
        64: make_difference(0.4, 0.5, at=NO_VECTORS),
        32: make_difference(0.4, 0.45, at=NO_VECTORS),
    }
    assert headline(make_comparison(rows, rows)) == (
        "new is better than old at every dimension: NDCG@10 0.500 against 0.400 at 64."
    )


def test_one_model_alone_is_summed_up_by_what_its_smallest_dimension_keeps():
    model = ranked("alone")
    wide, small = (model.metrics[d]["ndcg@10"] for d in (384, 32))
    kept = f"{small:.3f} at 32 ({small / wide:.0%} of it)"
    assert headlines(Page("", [model])) == [f"alone: NDCG@10 {wide:.3f} at 384 dimensions, {kept}."]
    (without,) = headlines(Page("", [make_ranking("BM25", 0.5, (0,), UNITS)]))
    assert "dimensions" not in without


def test_identical_models_differ_in_nothing():
    page = compared(ranked("same"), ranked("same"))
    (sentence,) = headlines(page)
    assert sentence.startswith("No sure difference between same and same")
    assert sentence.endswith("difference +0.000 [+0.000, +0.000].")
    assert warnings(page) == []


def test_sure_losses_beside_the_objective_are_warned_of_and_only_sure_ones():
    rows = {64: make_difference(0.4, 0.5, at=64)}
    comparison = dataclasses.replace(
        make_comparison(rows, rows),
        differences={"ndcg@10": rows, "recall@10": {64: make_difference(0.7, 0.6, at=64)}},
        slices={
            ("language", "fr"): {
                64: make_difference(0.5, 0.49, at=64),
                32: make_difference(0.5, 0.4, at=32),
            },
            ("tag", "lay"): {64: make_difference(0.5, 0.45, alone=0.01, sure=0.06, at=64)},
        },
    )
    assert warnings(Page("", [ranked("new"), ranked("old")], [comparison])) == [
        "Worse in recall@10 (0.600 against 0.700 at 64 dimensions).",
        "Worse in NDCG@10 for language fr (0.400 against 0.500 at 32 dimensions).",
    ]


def test_of_many_losses_a_warning_names_five_and_counts_the_rest():
    rows = {64: make_difference(0.5, 0.4, at=64)}
    slices = {("tag", f"tag{n}"): rows for n in range(8)}
    comparison = dataclasses.replace(make_comparison(rows), slices=slices)
    (warning,) = warnings(Page("", [ranked("new"), ranked("old")], [comparison]))
    assert warning.count("tag tag") == 5
    assert warning.endswith(" and 3 more.")


def test_failing_cases_alike_texts_and_cut_texts_are_warned_of_for_the_model_judged():
    cases = {
        d: (
            CaseOutcome("fever & rash", 0.4, 0.5 if d < 256 else 0.3),
            CaseOutcome("holds", 0.6, 0.1),
        )
        for d in WIDTHS
    }
    judged = dataclasses.replace(ranked("m"), must_rank=cases)
    page = Page("", [judged], inspections={"m": make_inspection(0.8, cut=0.4)})
    failing, alike, cut = warnings(page)
    assert failing == "Must-rank case “fever & rash” fails at 128, 64 and 32 dimensions."
    assert alike.startswith("Documents look alike to m: two different ones have a cosine of 0.8")
    assert cut == (
        "40% of the texts are longer than the 256 tokens that m reads; 13% of all tokens are never "
        "seen."
    )
    others = [ranked("m"), dataclasses.replace(ranked("other"), must_rank=cases)]
    assert warnings(Page("", others, inspections={"m": make_inspection(0.1)})) == []
