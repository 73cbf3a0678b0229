import dataclasses
import re

import numpy as np
import pytest

from medembed.evaluation.footprint_words import describe_smallest
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.report.headline import headlines, warnings
from medembed.evaluation.report.page import LISTED, Page, find_gains
from medembed.evaluation.report.plots import draw_plots
from medembed.evaluation.report.render import render_report
from medembed.evaluation.result import Evaluation, Measured, Units
from tests.evaluation.pages import (
    UNITS,
    compared,
    make_classes,
    make_inspection,
    make_page,
    make_pairs,
    make_ranking,
    make_units,
    ranked,
)
from tests.evaluation.test_retention_words import make_retention

PAGE = make_page(count=120, groups=90)
HTML = render_report(PAGE, {"dimensions.png": b"png"})


def test_gains_are_the_objective_per_query_largest_first_and_counted():
    def measured(values: list[float]) -> Measured:
        units = Units(("a", "b", "c", "d"), ("1", "2", "3", "4"), ("en",) * 4, ((),) * 4)
        return Measured(units, {8: {"ndcg@10": np.array(values)}}, {}, {})

    new = Evaluation("new", "", "", queries=measured([0.5, 1.0, 0.2, 0.9]))
    old = Evaluation("old", "", "", queries=measured([0.5, 0.25, 0.6, 0.8]))
    gains = find_gains(compared(new, old))
    assert gains is not None
    assert gains.ids == ("b", "d", "a", "c")
    assert gains.counts == (2, 1, 1)
    assert gains.largest_gains == [("b", 0.25, 1.0, 0.75), ("d", 0.8, 0.9, pytest.approx(0.1))]
    assert gains.largest_losses == [("c", 0.6, 0.2, pytest.approx(-0.4))]


def test_gains_list_ten_of_each_and_scored_pairs_have_none():
    gains = find_gains(PAGE)
    assert gains is not None
    assert (len(gains.largest_gains), len(gains.largest_losses)) == (LISTED, LISTED)
    pairs = compared(make_pairs("new", 0.1, UNITS), make_pairs("old", 0.3, UNITS))
    assert find_gains(pairs) is None
    assert find_gains(Page("", [ranked("alone")])) is None


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
            for row in rows.values():
                interval = re.escape(f"[{row.low:+.3f}, {row.high:+.3f}]")
                assert re.search(
                    rf"{re.escape(f'{row.mean:+.3f}')}(?: ▲| ▼)?<span[^>]*>{interval}", shown
                )
                assert f"<b>{row.after:.3f}</b>" in shown


def test_the_page_opens_with_a_sentence_per_baseline_and_its_warnings():
    header = HTML.partition("</header>")[0]
    for sentence in headlines(PAGE):
        assert sentence in header
    for warning in warnings(PAGE):
        assert warning in header


def test_the_page_shows_all_metrics_of_all_models_and_all_must_rank_margins():
    for model in PAGE.evaluations:
        for row in model.metrics.values():
            assert all(f"<td>{value:.3f}</td>" in HTML for value in row.values())
    for outcomes in PAGE.model.must_rank.values():
        for outcome in outcomes:
            assert f"{'' if outcome.holds else '✗ fails '}{outcome.margin:+.3f}</td>" in HTML


def test_the_page_holds_texts_only_where_they_may_be_shown():
    gains = find_gains(PAGE)
    assert gains is not None
    best = gains.ids[0]
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
BOTH = "Before and after"
SLICES = "Per language and tag"
SINGLES = "Gain and loss, one by one"
ALIKE = "Do texts look alike to the model?"
METRICS = "All metrics"
READING = "How to read this"
NO_TOKENIZER = dataclasses.replace(make_inspection(0.1), truncation=None)


@pytest.mark.parametrize(
    ("page", "sections"),
    [
        (
            Page("", [ranked("alone")], inspections={"alone": make_inspection(0.1)}),
            [SLICES, ALIKE, METRICS],
        ),
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
                dataclasses.replace(ranked("new"), must_rank={8: (CaseOutcome("x", 1, 0),)}),
                make_ranking("BM25", 0.4, (0,), UNITS),
            ),
            [BOTH, SLICES, SINGLES, "Cases that must rank", METRICS, READING],
        ),
        (
            Page("", [ranked("m")], inspections={"m": NO_TOKENIZER}),
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


def test_the_dimension_for_each_use_stands_in_the_report_with_its_reason():
    assert "<h2>Which dimension?</h2>" in HTML
    assert PAGE.recommendation is not None
    for choice in PAGE.recommendation.choices:
        assert f'<th scope="row">{choice.use}</th><td>{choice.option.dimension}</td>' in HTML
        assert f"<li>{choice.use}: {choice.reason}</li>" in HTML


def test_each_type_of_numbers_stands_in_the_report_with_its_bytes_and_time():
    assert "<h2>Which type of numbers?</h2>" in HTML
    assert "<td>bits, then int8</td><td>144</td><td>0.595</td><td>99%</td>" in HTML
    assert PAGE.footprints is not None
    for smallest in PAGE.footprints.smallest:
        assert f"<li>{describe_smallest(smallest, 'ndcg@10')}</li>" in HTML
