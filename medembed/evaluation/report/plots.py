"""Draw the report's figures as PNGs that are readable on a phone. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy
from scipy.spatial import distance

from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.inspection import Inspection
from medembed.evaluation.metrics import Values
from medembed.evaluation.report.canvas import (
    COLOURS,
    INK,
    LINES,
    MUTED,
    RED,
    STYLE,
    TEAL,
    draw_curve,
    draw_legend,
    scale_dimensions,
    short,
    start_figure,
    to_png,
)
from medembed.evaluation.report.page import Page
from medembed.evaluation.result import NO_VECTORS
from medembed.evaluation.words import (
    GAIN,
    LOSS,
    UNSURE,
    at_dimensions,
    label,
    slice_label,
    thousands,
    verdict,
)
from medembed.language import to_translate, tr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICTS = {GAIN: TEAL, LOSS: RED, UNSURE: MUTED}
_SLICES = 20


class Curve(NamedTuple):
    """The objective of a model {dimension: value}; `place` is the model's among the evaluations."""

    place: int
    name: str
    values: dict[int, float]


def draw_plots(page: Page) -> dict[str, bytes]:
    """Return {file name: PNG} of the figures that the page has data for: for one page one result.

    4.6 inches wide at 200 dpi, so that text is still readable when a phone shows it at 330 pixels.
    """
    from matplotlib import rc_context

    plots: dict[str, bytes] = {}
    for name, draw in _DRAWINGS.items():
        with rc_context(STYLE):
            figure = draw(page)
            if figure is not None:
                plots[name] = to_png(figure)
    return plots


def draw_dimensions(page: Page) -> "Figure | None":
    """Draw the objective of the first five models; without vectors it is a horizontal line."""
    curves = list(_curves(page))
    widths = set[int]().union(*(curve.values for curve in curves)) - {NO_VECTORS}
    if len(widths) < 2:
        return None
    figure, (axes,) = start_figure(height=3.6)
    for place, name, values in curves:
        if NO_VECTORS in values:
            axes.axhline(
                values[NO_VECTORS],
                color=COLOURS[place],
                linestyle=LINES[place],
                label=tr("{name}, no vectors", name=name),
            )
        else:
            draw_curve(axes, place, name, list(values), list(values.values()))
    if page.comparisons:
        _draw_band(axes, page.comparisons[0])
    scale_dimensions(axes, widths)
    title = tr("{metric} over dimensions", metric=label(page.objective))
    axes.set(xlabel=tr("dimensions"), title=title)
    draw_legend(axes)
    return figure


def _draw_band(axes: "Axes", comparison: Comparison) -> None:
    """Draw the baseline plus the interval of the difference, where enough groups are behind it."""
    dimensions = []
    low = []
    high = []
    for dimension, row in sorted(comparison.differences[comparison.objective].items()):
        if row.groups >= FEWEST_GROUPS:
            dimensions.append(dimension)
            low.append(row.before + row.low)
            high.append(row.before + row.high)
    axes.fill_between(
        dimensions,
        low,
        high,
        color=TEAL,
        alpha=0.15,
        linewidth=0,
        label=tr("95% of the difference"),
    )


def draw_slices(page: Page) -> "Figure | None":
    """Draw the difference per language and tag at the widest dimension, with intervals."""
    if not (page.comparisons and page.comparisons[0].slices):
        return None
    comparison = page.comparisons[0]
    every = comparison.differences[page.objective]
    rows = [every[max(every)]]
    names = [tr("all")]
    for (_, name), differences in list(comparison.slices.items())[:_SLICES]:
        names.append(short(slice_label(name), 18))
        rows.append(differences[max(differences)])
    figure, (axes,) = start_figure(height=1.5 + 0.3 * len(rows))
    ticks = []
    for place, (name, row) in enumerate(zip(names, rows, strict=True)):
        _draw_interval(axes, place, row)
        few = tr(", few") if _is_few(row) else ""
        ticks.append(f"{name} ({thousands(row.units)}{few})")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), ticks, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _fit(axes, rows)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    below = tr(
        "difference to {baseline}{at}",
        baseline=short(comparison.baseline, 26),
        at=at_dimensions(max(every)),
    )
    figure.supxlabel(below, fontsize=10.5, color=MUTED)
    title = tr("{metric} gained", metric=label(page.objective))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def draw_scores(page: Page) -> "Figure | None":
    """Draw cosines of each query's best positive, judged negative and other document."""
    shown: dict[str, dict[str, Values]] = {}
    for evaluation in page.evaluations:
        if evaluation.queries and evaluation.queries.cosines and len(shown) < 2:
            cosines = evaluation.queries.cosines
            widest = cosines[max(cosines)]
            shown[evaluation.title] = {kind: v[np.isfinite(v)] for kind, v in widest.items()}
    every = np.concatenate([np.zeros(0), *(np.concatenate([*k.values()]) for k in shown.values())])
    if not len(every):
        return None
    bins = np.linspace(every.min() - 1e-3, every.max() + 1e-3, 41).tolist()
    figure, panels = start_figure(len(shown), height=1.2 + 1.35 * len(shown))
    for axes, (name, kinds) in zip(panels, shown.items(), strict=True):
        _draw_histograms(axes, kinds, bins)
        axes.set_title(short(name))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel(tr("cosine with the query: the best of each kind"))
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def _draw_histograms(axes: "Axes", kinds: dict[str, Values], bins: list[float]) -> None:
    styles = {
        "other": ("#64748b", to_translate("other document")),
        "negative": (RED, to_translate("judged negative")),
        "positive": (TEAL, to_translate("positive")),
    }
    for kind, (colour, name) in styles.items():
        if len(kinds.get(kind, ())):
            filled = kind != "negative"
            axes.hist(
                kinds[kind],
                bins,
                color=colour,
                alpha=0.5 if filled else 1,
                label=tr(name),
                histtype="stepfilled" if filled else "step",
                linewidth=1.5,
            )


def draw_similarity(page: Page) -> "Figure | None":
    """Draw how alike 50 documents are to the model."""
    return _draw_heat_map(page, 0)


def draw_baseline_similarity(page: Page) -> "Figure | None":
    """Draw how alike the same documents are to the first baseline."""
    return _draw_heat_map(page, 1)


def _draw_heat_map(page: Page, place: int) -> "Figure | None":
    """Draw cosines of inspected documents, like ones side by side.

    The order is the first model's where the documents are the same, so that two maps compare.
    """
    inspected = [e for e in page.evaluations if e.name in page.inspections]
    if place >= len(inspected) or len(page.inspections[inspected[place].name].ids) < 2:
        return None
    first = page.inspections[inspected[0].name]
    inspection = page.inspections[inspected[place].name]
    order = _alike_first(first if first.ids == inspection.ids else inspection)
    lowest = inspection.mean_cosine if inspection.is_alike else 0.0
    figure, (axes,) = start_figure(height=3.9)
    image = axes.imshow(
        inspection.similarities[np.ix_(order, order)],
        cmap="GnBu",
        vmin=lowest,
        vmax=1,
        interpolation="nearest",
    )
    below = tr("{count} documents, like ones side by side", count=len(inspection.ids))
    axes.set(xticks=[], yticks=[], xlabel=below)
    axes.spines[:].set_visible(False)
    mean = tr(
        "mean cosine {mean:.2f} ± {spread:.2f}",
        mean=inspection.mean_cosine,
        spread=inspection.spread,
    )
    axes.set_title(f"{short(inspected[place].title)}\n{mean}")
    scale = tr("cosine ({lowest:.2g} and below: white)", lowest=lowest)
    figure.colorbar(image, ax=axes, label=scale, shrink=0.85)
    return figure


def _alike_first(inspection: Inspection) -> npt.NDArray[np.int64]:
    distances = np.clip(1 - inspection.similarities, 0, 2).astype(np.float64)
    condensed = distance.squareform(distances, checks=False)
    return hierarchy.leaves_list(hierarchy.average(condensed)).astype(np.int64)


def _curves(page: Page) -> Iterator[Curve]:
    """Give the curve of each model that has the objective, of the first few."""
    objective = page.objective
    for place, evaluation in enumerate(page.evaluations[: len(COLOURS)]):
        metrics = evaluation.metrics
        values = {d: row[objective] for d, row in metrics.items() if objective in row}
        if values:
            yield Curve(place, short(evaluation.title), values)


def _draw_interval(axes: "Axes", place: int, row: Difference) -> None:
    colour = _VERDICTS[verdict(row)]
    ends = [row.low, row.high]
    if math.isfinite(sum(ends)):
        axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    # filled where it is sure: not by colour alone
    face = "white" if verdict(row) == UNSURE else colour
    axes.plot(row.mean, place, "o", color=colour, markerfacecolor=face, markersize=7)


def _fit(axes: "Axes", rows: Sequence[Difference]) -> None:
    """Fit the scale to all means and to intervals of enough groups; others may run off the edge."""
    edges = [0.0, *(row.mean for row in rows)]
    for row in rows:
        if not _is_few(row):
            edges += [row.low, row.high]
    margin = 0.1 * (max(edges) - min(edges)) or 0.1
    axes.set_xlim(min(edges) - margin, max(edges) + margin)


def _is_few(row: Difference) -> bool:
    return row.groups < FEWEST_GROUPS


_DRAWINGS: dict[str, Callable[[Page], "Figure | None"]] = {
    "dimensions.png": draw_dimensions,
    "slices.png": draw_slices,
    "scores.png": draw_scores,
    "similarity.png": draw_similarity,
    "similarity_baseline.png": draw_baseline_similarity,
}
PLOTS = tuple(_DRAWINGS)  # names of all files that a page may have
