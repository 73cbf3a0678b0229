import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from medembed.evaluation.compare import Comparison, Difference, compare_all
from medembed.evaluation.must_rank import Outcome
from medembed.evaluation.report.page import LISTED, Page, gains, headline, render_report, warnings
from medembed.evaluation.report.plots import draw_plots
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Units
from tests.evaluation.pages import (
    CONFIG,
    WIDTHS,
    make_classes,
    make_difference,
    make_look,
    make_page,
    make_pairs,
    make_ranking,
    make_units,
)
from tests.evaluation.test_retention_screen import make_retention

UNITS = make_units(60, 40)
PAGE = make_page(count=120, groups=90)
HTML = render_report(PAGE, {"gains.png": b"png"})


def compared(model: Evaluation, baseline: Evaluation, **more: Any) -> Page:
    return Page("", [model, baseline], compare_all([baseline], model, CONFIG), **more)


def ranked(name: str, quality: float = 0.5, units: Units = UNITS) -> Evaluation:
    return make_ranking(name, quality, WIDTHS, units)


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
    expected = f"alone: NDCG@10 {wide:.3f} at 384 dimensions, {small:.3f} at 32 ({small / wide:.0%} of it)."
    assert headline(Page("", [model])) == expected
    assert headline(Page("", [make_ranking("BM25", 0.5, (0,), UNITS)])).count("dimensions") == 0


def test_identical_models_differ_in_nothing():
    page = compared(ranked("same"), ranked("same"))
    assert headline(page).startswith("No sure difference between same and same")
    assert headline(page).endswith("difference +0.000 [+0.000, +0.000].")
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
        d: (Outcome("fever & rash", 0.4, 0.5 if d < 256 else 0.3), Outcome("holds", 0.6, 0.1))
        for d in WIDTHS
    }
    page = Page("", [ranked("m")], looks={"m": make_look(0.8, cut=0.4)}, must_rank={"m": cases})
    failing, alike, cut = warnings(page)
    assert failing == "Must-rank case “fever & rash” fails at 128, 64 and 32 dimensions."
    assert alike.startswith("Documents look alike to m: two different ones have a cosine of 0.8")
    assert (
        cut
        == "40% of the texts are longer than the 256 tokens that m reads; 13% of all tokens are never seen."
    )
    assert (
        warnings(dataclasses.replace(page, looks={"m": make_look(0.1)}, must_rank={"other": cases}))
        == []
    )


def test_gains_are_the_objective_per_query_largest_first_and_counted():
    def measured(values: list[float]) -> Measured:
        units = Units(("a", "b", "c", "d"), ("1", "2", "3", "4"), ("en",) * 4, ((),) * 4)
        return Measured(units, {8: {"ndcg@10": np.array(values)}}, {}, {})

    new = Evaluation("new", "", "", queries=measured([0.5, 1.0, 0.2, 0.9]))
    old = Evaluation("old", "", "", queries=measured([0.5, 0.25, 0.6, 0.8]))
    found = gains(compared(new, old))
    assert found is not None
    assert found.ids == ("b", "d", "a", "c")
    assert found.counts() == (2, 1, 1)
    assert found.rows(1) == [("b", 0.25, 1.0, 0.75), ("d", 0.8, 0.9, pytest.approx(0.1))]
    assert found.rows(-1) == [("c", 0.6, 0.2, pytest.approx(-0.4))]


def test_gains_list_ten_of_each_and_scored_pairs_have_none():
    found = gains(PAGE)
    assert found is not None
    assert [len(found.rows(sign)) for sign in (1, -1)] == [LISTED, LISTED]
    assert gains(compared(make_pairs("new", 0.1, UNITS), make_pairs("old", 0.3, UNITS))) is None
    assert gains(Page("", [ranked("alone")])) is None


def test_the_page_is_self_contained_and_escaped():
    html = render_report(PAGE, draw_plots(PAGE))
    assert not re.search(r'(?:src|href)="(?!data:)|<script|<link|@import|url\(', html)
    assert "Before and after &lt;fine-tuning&gt; &amp; more" in html
    assert "f00d &lt;b&gt;x&lt;/b&gt;" in html
    assert (
        html.count("data:image/png;base64,iVBOR")
        == len(draw_plots(PAGE))
        == html.count("<img alt=")
    )


def test_the_page_shows_every_difference_with_its_interval():
    shown = re.sub(r"\s+", " ", HTML)
    for comparison in PAGE.comparisons:
        for rows in (
            *comparison.differences.values(),
            comparison.narrow,
            *comparison.slices.values(),
        ):
            for found in rows.values():
                interval = re.escape(f"[{found.low:+.3f}, {found.high:+.3f}]")
                assert re.search(
                    rf"{re.escape(f'{found.mean:+.3f}')}(?: ▲| ▼)?<span[^>]*>{interval}", shown
                )
                assert f"<b>{found.after:.3f}</b>" in shown


def test_the_page_opens_with_a_sentence_per_baseline_and_its_warnings():
    header = HTML.partition("</header>")[0]
    for comparison in PAGE.comparisons:
        assert headline(comparison) in header
    for warning in warnings(PAGE):
        assert warning in header


def test_the_page_shows_all_metrics_of_all_models_and_all_must_rank_margins():
    for model in PAGE.evaluations:
        for row in model.metrics.values():
            assert all(f"<td>{value:.3f}</td>" in HTML for value in row.values())
    for outcomes in PAGE.must_rank["clinic-minilm-v3"].values():
        for outcome in outcomes:
            assert f"{'' if outcome.holds else '✗ fails '}{outcome.margin:+.3f}</td>" in HTML


def test_the_page_holds_texts_only_where_they_may_be_shown():
    found = gains(PAGE)
    assert found is not None
    best = found.ids[0]
    assert '<span class="text">' not in HTML
    html = render_report(
        dataclasses.replace(PAGE, texts={best: "fever < 3 days", "query-none": "unseen"}), {}
    )
    assert '<span class="text">fever &lt; 3 days</span>' in html
    assert html.count('<span class="text">') == 1


def test_few_groups_are_said_to_be_few():
    units = dataclasses.replace(UNITS, languages=("fr",) * 5 + ("en",) * 55)
    html = render_report(compared(ranked("new", 0.6, units), ranked("old", 0.5, units)), {})
    assert "5 groups: few" in html
    assert "40 groups: few" not in html


SINGLE = make_units(1, 1)
BOTH, SLICES, SINGLES, ALIKE = (
    "Before and after",
    "Per language and tag",
    "Gain and loss, one by one",
    "Do texts look alike to the model?",
)
METRICS, READING = "All metrics", "How to read this"
NO_TOKENIZER = dataclasses.replace(make_look(0.1), truncation=None)


@pytest.mark.parametrize(
    ("page", "sections"),
    [
        (Page("", [ranked("alone")], looks={"alone": make_look(0.1)}), [SLICES, ALIKE, METRICS]),
        (
            Page("", [make_ranking("BM25", 0.5, (0,), UNITS)], facts=[("a", "b")]),
            [SLICES, METRICS, "Facts"],
        ),
        (
            compared(make_classes("new", 0.8, UNITS), make_classes("old", 0.7, UNITS)),
            [BOTH, SLICES, SINGLES, METRICS, READING],
        ),
        (
            compared(make_pairs("new", 0.1, UNITS), make_pairs("old", 0.3, UNITS)),
            [BOTH, SLICES, METRICS, READING],
        ),
        (Page("", [make_pairs("one pair", 0.1, SINGLE)]), [METRICS]),
        (
            compared(ranked("new", 0.6, SINGLE), ranked("old", 0.5, SINGLE)),
            [BOTH, SINGLES, METRICS, READING],
        ),
        (compared(ranked("same"), ranked("same")), [BOTH, SLICES, SINGLES, METRICS, READING]),
        (
            compared(
                ranked("new"),
                make_ranking("BM25", 0.4, (0,), UNITS),
                must_rank={"new": {8: (Outcome("x", 1, 0),)}},
            ),
            [BOTH, SLICES, SINGLES, "Cases that must rank", METRICS, READING],
        ),
        (
            Page("", [ranked("m")], looks={"m": NO_TOKENIZER}, must_rank={"m": {}}),
            [SLICES, ALIKE, METRICS],
        ),
    ],
    ids=[
        "alone",
        "bm25",
        "classes",
        "pairs",
        "one pair",
        "one query",
        "identical",
        "against bm25",
        "no tokenizer",
    ],
)
def test_sections_without_content_are_left_out_and_no_number_is_undefined(
    page: Page, sections: list[str]
):
    html = render_report(page, {})
    assert re.findall("<h2>(.*?)</h2>", html) == sections
    assert not re.search(r"\b(?:nan|inf|None|Undefined)\b", html)
    assert page.model.name in html


def test_the_course_of_a_training_is_shown_where_there_is_one():
    assert "The course of training" in render_report(PAGE, {"curves.png": b"png"})
    assert "The course of training" not in HTML


def test_what_is_lost_elsewhere_is_a_warning_and_a_table():
    kept = make_retention({"clinic <a>": {384: 0.02}, "french": {384: 0.0}}, notes=("one & all",))
    page = dataclasses.replace(PAGE, retention=kept)
    assert "new surely loses more than 0.005 elsewhere against base: clinic <a> at 384" in " ".join(
        warnings(page)
    )
    html = render_report(page, {})
    assert "Elsewhere: what was not trained on" in html
    assert "clinic &lt;a&gt;" in html
    assert html.count('class="loss">▼ -0.020') == 1
    assert "one &amp; all" in html
    assert "Elsewhere" not in HTML
