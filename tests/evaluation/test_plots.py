import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medembed.evaluation.compare import compare_all
from medembed.evaluation.report.page import Page
from medembed.evaluation.report.plots import (
    draw_dimensions,
    draw_plots,
    draw_scores,
    draw_similarity,
    draw_slices,
)
from medembed.evaluation.result import Evaluation
from tests.evaluation.pages import (
    CONFIG,
    WIDTHS,
    make_classes,
    make_inspection,
    make_page,
    make_pairs,
    make_ranking,
    make_units,
)

UNITS = make_units(40, 30)
PAGE = make_page(count=120, groups=90)


def compared(model: Evaluation, baseline: Evaluation) -> Page:
    return Page("", [model, baseline], compare_all([baseline], model, CONFIG))


def test_the_figures_are_pngs_whose_bytes_do_not_change_and_wide_enough_for_a_sharp_phone():
    plots = draw_plots(PAGE)
    assert plots == draw_plots(PAGE)
    assert {Image.open(io.BytesIO(png)).size[0] for png in plots.values()} == {920}
    assert {Image.open(io.BytesIO(png)).format for png in plots.values()} == {"PNG"}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (PAGE, "dimensions slices scores similarity similarity_baseline"),
        (Page("", [make_ranking("alone", 0.5, WIDTHS, UNITS)]), "dimensions scores"),
        (Page("", [make_ranking("BM25", 0.5, (0,), UNITS)]), ""),
        (
            compared(make_classes("new", 0.8, UNITS), make_classes("old", 0.7, UNITS)),
            "dimensions slices",
        ),
        (
            compared(make_pairs("new", 0.1, UNITS), make_pairs("old", 0.3, UNITS)),
            "dimensions slices",
        ),
        (compared(*[make_ranking("m", 0.5, (8,), make_units(1, 1))] * 2), "scores"),
        (
            compared(make_ranking("new", 0.5, (8,), UNITS), make_ranking("old", 0.5, (32,), UNITS)),
            "dimensions slices scores",
        ),
    ],
    ids=[
        "all",
        "alone",
        "without vectors",
        "classes",
        "scored pairs",
        "one query, identical",
        "one dimension each",
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_page_gets_the_figures_that_it_has_data_for(page: Page, names: str):
    assert list(draw_plots(page)) == [f"{name}.png" for name in names.split()]


def test_the_curve_shows_every_models_means_and_a_ranking_without_vectors_as_a_level():
    figure = draw_dimensions(PAGE)
    assert figure is not None
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    for model in PAGE.evaluations[:2]:
        assert list(lines[model.name].get_xdata()) == list(WIDTHS)
        assert list(lines[model.name].get_ydata()) == [
            row["ndcg@10"] for row in model.metrics.values()
        ]
    level = PAGE.evaluations[2].metrics[0]["ndcg@10"]
    assert list(lines["BM25, no vectors"].get_ydata()) == [level, level]


def test_the_band_is_the_baseline_plus_the_interval_of_the_difference():
    figure = draw_dimensions(PAGE)
    assert figure is not None
    (band,) = figure.axes[0].collections
    edges = {tuple(np.round(vertex, 9)) for vertex in band.get_paths()[0].vertices}
    for dimension, difference in PAGE.comparisons[0].differences["ndcg@10"].items():
        assert (dimension, round(difference.before + difference.low, 9)) in edges
        assert (dimension, round(difference.before + difference.high, 9)) in edges


def test_the_difference_per_language_and_tag_begins_with_all_and_ends_at_its_interval():
    figure = draw_slices(PAGE)
    assert figure is not None
    axes, comparison = figure.axes[0], PAGE.comparisons[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:3] == ["all (120)", "en (80)", "fr (40)"]
    french = comparison.slices["language", "fr"][384]
    drawn = [list(line.get_xdata()) for line in axes.lines if line.get_ydata()[0] == 2]
    assert drawn == [[french.low, french.high], [french.mean]]


def test_a_dot_is_filled_only_where_the_difference_is_sure():
    figure = draw_slices(PAGE)
    assert figure is not None
    comparison = PAGE.comparisons[0]
    rows = [
        comparison.differences["ndcg@10"][384],
        *(difference[384] for difference in comparison.slices.values()),
    ]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    filled = [dot.get_markerfacecolor() != "white" for dot in dots]
    assert filled == [row.sure_low > 0 or row.sure_high < 0 for row in rows]
    assert set(filled) == {True, False}


def test_score_histograms_count_every_query_once_per_kind_that_it_has():
    figure = draw_scores(PAGE)
    assert figure is not None
    assert len(figure.axes) == 2  # BM25 has no cosines
    bars = dict(
        zip(("other document", "judged negative", "positive"), figure.axes[0].patches, strict=True)
    )
    assert list(bars) == figure.axes[0].get_legend_handles_labels()[1]
    heights = {kind: sum(patch.get_xy()[1:81:2, 1]) for kind, patch in bars.items()}
    assert heights == {"other document": 120, "judged negative": 60, "positive": 120}


def test_the_heat_map_shows_the_same_cosines_with_like_documents_side_by_side():
    figure = draw_similarity(PAGE)
    assert figure is not None
    shown = np.asarray(figure.axes[0].images[0].get_array())
    inspection = PAGE.inspections[PAGE.model.name]
    assert sorted(shown.ravel()) == sorted(inspection.similarities.ravel())
    assert (np.diag(shown) > 0.999).all()
    assert np.diag(shown, 1).mean() > np.diag(inspection.similarities, 1).mean() + 0.3


@pytest.mark.parametrize(("level", "is_alike"), [(0.1, False), (0.8, True)])
def test_the_colours_of_the_heat_map_begin_where_documents_that_all_look_alike_do(
    level: float, *, is_alike: bool
):
    inspection = make_inspection(level)
    figure = draw_similarity(replace(PAGE, inspections={PAGE.model.name: inspection}))
    assert figure is not None
    lowest, highest = figure.axes[0].images[0].get_clim()
    assert highest == 1
    assert lowest == (inspection.mean_cosine if is_alike else 0)
