"""The report's figures as PNGs: readable on a phone, and the same bytes for the same page. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy
from scipy.spatial import distance

from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.canvas import (
    COLOURS,
    INK,
    LINES,
    MUTED,
    RED,
    STYLE,
    TEAL,
    draw_curve,
    draw_legend,
    over_widths,
    short,
    start_figure,
    to_png,
)
from medembed.evaluation.compare import Difference
from medembed.evaluation.corpus_sample import Look
from medembed.evaluation.report import BYTES_PER_VALUE, Page, gains
from medembed.evaluation.result import NO_VECTORS
from medembed.evaluation.screen import GAIN, LOSS, UNSURE, label, units_of, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICTS = {GAIN: TEAL, LOSS: RED, UNSURE: MUTED}
_DOTS = 2000  # points of a scatter: more only hide each other
_SLICES = 20


def draw_plots(page: Page) -> dict[str, bytes]:
    """{file name: PNG} of all figures that the page has data for, in the page's order.

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
    """The objective over dimensions, of the first five models; a ranking without vectors is a
    horizontal line.
    """
    curves = list(_curves(page))
    widths = {dimension for _, _, row in curves for dimension in row} - {NO_VECTORS}
    if len(widths) < 2:
        return None
    figure, (axes,) = start_figure(height=3.6)
    for place, name, row in curves:
        if NO_VECTORS in row:
            level = row[NO_VECTORS]
            axes.axhline(
                level, color=COLOURS[place], linestyle=LINES[place], label=f"{name}, no vectors"
            )
        else:
            draw_curve(axes, place, name, list(row), list(row.values()))
    for comparison in page.comparisons[:1]:
        rows = sorted(comparison.differences[page.objective].items())
        band = {
            d: (r.before + r.low, r.before + r.high) for d, r in rows if r.groups >= FEWEST_GROUPS
        }
        low, high = [edges[0] for edges in band.values()], [edges[1] for edges in band.values()]
        axes.fill_between(
            list(band),
            low,
            high,
            color=TEAL,
            alpha=0.15,
            linewidth=0,
            label="95% of the difference",
        )
    over_widths(axes, widths, 1)
    axes.set(xlabel="dimensions", title=f"{label(page.objective)} over dimensions")
    draw_legend(axes)
    return figure


def draw_bytes(page: Page) -> "Figure | None":
    """How much of its own best quality each model keeps, against the bytes of a vector."""
    curves = [
        curve
        for curve in _curves(page)
        if NO_VECTORS not in curve[2] and max(curve[2].values()) > 0
    ]
    if not any(len(row) > 1 for _, _, row in curves):
        return None
    figure, (axes,) = start_figure(height=3.6)
    for place, name, row in curves:
        sizes, kept = (
            [d * BYTES_PER_VALUE for d in row],
            [100 * v / max(row.values()) for v in row.values()],
        )
        draw_curve(axes, place, name, sizes, kept)
    over_widths(axes, {d for _, _, row in curves for d in row}, BYTES_PER_VALUE)
    axes.yaxis.set_major_formatter("{x:.0f}%")
    axes.set(xlabel="bytes per float32 vector\nGiB per million vectors")
    axes.set_title(f"Share of its best {label(page.objective)} kept")
    draw_legend(axes)
    return figure


def draw_slices(page: Page) -> "Figure | None":
    """The difference per language and tag at the widest dimension, with intervals."""
    if not (page.comparisons and page.comparisons[0].slices):
        return None
    comparison = page.comparisons[0]
    every = comparison.differences[page.objective]
    rows = [("all", every[max(every)])]
    rows += [
        (name, found[max(found)]) for (_, name), found in list(comparison.slices.items())[:_SLICES]
    ]
    figure, (axes,) = start_figure(height=1.5 + 0.3 * len(rows))
    for place, (_, found) in enumerate(rows):
        _draw_interval(axes, place, found)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(
        range(len(rows)),
        [f"{short(name, 18)} ({found.units:,}{_few(found)})" for name, found in rows],
        color=INK,
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _fit(axes, [found for _, found in rows])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    at = f" at {max(every)} dimensions" if max(every) != NO_VECTORS else ""
    figure.supxlabel(
        f"difference to {short(comparison.baseline, 26)}{at}", fontsize=10.5, color=MUTED
    )
    figure.suptitle(
        f"{label(page.objective)} gained", x=0.01, ha="left", fontsize=11, fontweight="bold"
    )
    return figure


def draw_gains(page: Page) -> "Figure | None":
    """The difference of each unit, sorted."""
    found = gains(page)
    if found is None or not found.ids:
        return None
    figure, (axes,) = start_figure()
    edges = np.arange(len(found.ids) + 1)
    axes.stairs(np.maximum(found.difference, 0), edges, fill=True, color=TEAL)
    axes.stairs(np.minimum(found.difference, 0), edges, fill=True, color=RED)
    axes.axhline(0, color=INK, linewidth=0.8)
    better, equal, worse = found.counts()
    axes.set_title(f"{better:,} better, {equal:,} equal, {worse:,} worse")
    axes.set(
        xlabel=f"{units_of(page.objective)}, sorted by difference",
        ylabel=f"{label(page.objective)} gained",
    )
    axes.grid(axis="y")
    axes.set_xlim(0, len(found.ids))
    return figure


def draw_scores(page: Page) -> "Figure | None":
    """Cosines of each query's best positive, best judged negative and best other document; model
    over baseline.
    """
    shown = [
        (e, e.queries.cosines[max(e.queries.cosines)])
        for e in page.evaluations
        if e.queries and e.queries.cosines
    ]
    columns = [
        (evaluation, {kind: v[np.isfinite(v)] for kind, v in named.items()})
        for evaluation, named in shown[:2]
    ]
    every = np.concatenate(
        [values for _, named in columns for values in named.values()] or [np.zeros(0)]
    )
    if not len(every):
        return None
    figure, panels = start_figure(len(columns), height=1.2 + 1.35 * len(columns))
    bins = np.linspace(every.min() - 1e-3, every.max() + 1e-3, 41).tolist()
    styles = {
        "other": ("#64748b", "other document"),
        "negative": (RED, "judged negative"),
        "positive": (TEAL, "positive"),
    }
    for axes, (evaluation, named) in zip(panels, columns, strict=True):
        for kind, (colour, name) in styles.items():
            if len(named.get(kind, ())):
                filled = kind != "negative"
                axes.hist(
                    named[kind],
                    bins,
                    color=colour,
                    alpha=0.5 if filled else 1,
                    label=name,
                    histtype="stepfilled" if filled else "step",
                    linewidth=1.5,
                )
        axes.set_title(short(evaluation.name))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel("cosine with the query: the best of each kind")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1
    )
    return figure


def draw_pairs(page: Page) -> "Figure | None":
    """Cosine against the similarity that pairs came with, and its mean in tenths of the scale."""
    shown = [(e, e.pairs) for e in page.evaluations if e.pairs and e.pairs.cosines][:2]
    if not shown:
        return None
    figure, panels = start_figure(1, len(shown))
    for axes, (evaluation, pairs) in zip(panels, shown, strict=True):
        similarity, cosines = pairs.similarity, pairs.cosines[max(pairs.cosines)]
        step = math.ceil(len(similarity) / _DOTS)
        axes.plot(
            similarity[::step], cosines[::step], ".", color="#64748b", alpha=0.35, markersize=3
        )
        tenth = np.minimum((similarity * 10).astype(int), 9)
        means = [
            (found.mean(), cosines[tenth == n].mean())
            for n in range(10)
            if len(found := similarity[tenth == n])
        ]
        axes.plot(*np.transpose(means), "o-", color=TEAL, label="mean")
        axes.set(
            title=short(evaluation.name, 20 if len(shown) > 1 else 40), xlabel="similarity given"
        )
        axes.grid(axis="y")
    panels[0].set_ylabel("cosine")
    panels[0].legend(loc="upper left")
    return figure


def draw_look(page: Page) -> "Figure | None":
    """How alike 50 documents are to the model."""
    return draw_heat_map(page, 0)


def draw_baseline_look(page: Page) -> "Figure | None":
    """How alike the same documents are to the first baseline."""
    return draw_heat_map(page, 1)


def draw_heat_map(page: Page, place: int) -> "Figure | None":
    """Cosines of a look's documents, like ones side by side; the order is the first look's where
    the documents are the same, so that two maps can be laid beside each other."""
    looks = [(e.name, page.looks[e.name]) for e in page.evaluations if e.name in page.looks]
    if place >= len(looks) or len(looks[place][1].ids) < 2:
        return None
    name, look = looks[place]
    order = _alike_first(looks[0][1] if looks[0][1].ids == look.ids else look)
    figure, (axes,) = start_figure(height=3.9)
    image = axes.imshow(
        look.similarities[np.ix_(order, order)],
        cmap="GnBu",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[], xlabel=f"{len(look.ids)} documents, like ones side by side")
    axes.spines[:].set_visible(False)
    axes.set_title(f"{short(name)}\nmean cosine {look.mean_cosine:.2f} ± {look.spread:.2f}")
    figure.colorbar(image, ax=axes, label="cosine (0 and below: white)", shrink=0.85)
    return figure


def _alike_first(look: Look) -> npt.NDArray[np.int64]:
    distances = distance.squareform(
        np.clip(1 - look.similarities, 0, 2).astype(np.float64), checks=False
    )
    return hierarchy.leaves_list(hierarchy.average(distances)).astype(np.int64)


def _curves(page: Page) -> Iterator[tuple[int, str, dict[int, float]]]:
    """(place among the evaluations, short name, {dimension: the objective}) of those that have
    it.
    """
    for place, evaluation in enumerate(page.evaluations[: len(COLOURS)]):
        row = {
            d: found[page.objective]
            for d, found in evaluation.metrics.items()
            if page.objective in found
        }
        if row:
            yield place, short(evaluation.name), row


def _draw_interval(axes: "Axes", place: int, found: Difference) -> None:
    colour = _VERDICTS[verdict(found)]
    if math.isfinite(found.low + found.high):
        axes.plot(
            [found.low, found.high],
            [place, place],
            color=colour,
            linewidth=2,
            solid_capstyle="butt",
        )
    # filled where it is sure: not by colour alone
    face = "white" if verdict(found) == UNSURE else colour
    axes.plot(found.mean, place, "o", color=colour, markerfacecolor=face, markersize=7)


def _fit(axes: "Axes", rows: Sequence[Difference]) -> None:
    """The scale of all means and of those intervals that rest on enough groups; the others may run
    off the edge.
    """
    edges = [0.0, *(found.mean for found in rows)]
    edges += [edge for found in rows if not _few(found) for edge in (found.low, found.high)]
    margin = 0.1 * (max(edges) - min(edges)) or 0.1
    axes.set_xlim(min(edges) - margin, max(edges) + margin)


def _few(found: Difference) -> str:
    return ", few" if found.groups < FEWEST_GROUPS else ""


_DRAWINGS: dict[str, Callable[[Page], "Figure | None"]] = {
    "dimensions.png": draw_dimensions,
    "bytes.png": draw_bytes,
    "slices.png": draw_slices,
    "gains.png": draw_gains,
    "scores.png": draw_scores,
    "pairs.png": draw_pairs,
    "similarity.png": draw_look,
    "similarity_baseline.png": draw_baseline_look,
}
PLOTS = tuple(_DRAWINGS)  # names of all files that a page may have
