"""Draw a run's course as one PNG: loss, learning rate, dev metric of each dimension. Pure."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medembed.evaluation.report.canvas import (
    COLOURS,
    INK,
    LINES,
    MARKERS,
    MUTED,
    RED,
    STYLE,
    TEAL,
    start_figure,
    to_png,
)
from medembed.evaluation.words import label
from medembed.language import tr
from medembed.training.record.history import DEV, Entry, dev_names, loss_names, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
_SMOOTHED = 50  # a mean over a fiftieth of the steps shows where the loss goes
_PANEL_INCHES = 2.0
_MARKERS = 20  # more on a line, as of a long run, would hide it
# Six dimensions are common; a seventh begins again.
_LOOKS = [*zip(COLOURS, LINES, MARKERS, strict=True), ("#0369a1", ":", "X")]


def draw_curves(history: Sequence[Entry], best_step: int | None = None) -> bytes | None:
    """Return the PNG, 4.6 inches wide at 200 dpi, panels below each other; None without a loss.

    `best_step` is marked.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    panels = [_draw_loss, _draw_learning_rate] + ([_draw_dev] if dev_names(history) else [])
    if not series(history, "loss")[0]:
        return None
    with rc_context(STYLE):
        figure, axes = start_figure(len(panels), height=0.6 + _PANEL_INCHES * len(panels))
        for draw, panel in zip(panels, axes, strict=True):
            draw(panel, history)
            panel.grid(axis="y")
            if best_step is not None:
                panel.axvline(best_step, color=MUTED, linewidth=0.8, linestyle=":")
        below = tr("step")
        if best_step is not None:
            below = tr("step (dotted: the checkpoint kept, step {step:,})", step=best_step)
        axes[-1].set_xlabel(below)
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes[-1].xaxis.set_major_formatter("{x:,.0f}")
        handles, labels = axes[-1 if dev_names(history) else 0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower left", ncols=3)
        return to_png(figure)


def smooth(values: Sequence[float], over: int) -> list[float]:
    """Return the mean of each value and the `over - 1` before it, or as many as there are."""
    sums = [0.0, *itertools.accumulate(values)]
    return [(sums[n] - sums[max(0, n - over)]) / min(n, over) for n in range(1, len(sums))]


def _draw_loss(axes: "Axes", history: Sequence[Entry]) -> None:
    steps, values = series(history, "loss")
    over = max(1, len(values) // _SMOOTHED)
    names = loss_names(history)
    axes.plot(steps, values, color="#94a3b8", linewidth=0.7)
    axes.plot(steps, smooth(values, over), color=INK if names else TEAL, linewidth=1.8)
    drawn = list(values)
    for name, (colour, line, _) in zip(names, itertools.cycle(_LOOKS), strict=False):
        steps_of_name, losses = series(history, name)
        losses = smooth(losses, over)
        drawn += losses
        dimension = name.rpartition("/")[2]
        axes.plot(
            steps_of_name, losses, color=colour, linestyle=line, linewidth=0.9, label=dimension
        )
    ordered = sorted(drawn)
    highest = ordered[int(0.99 * (len(ordered) - 1))]  # a single spike would flatten all the rest
    axes.set_ylim(min(0.0, ordered[0]), 1.1 * highest or 1.0)
    title = tr("Loss (thick), by dimension") if names else tr("Loss")
    if over > 1:
        title += tr(", {steps}-step mean", steps=over)
    axes.set_title(title)


def _draw_learning_rate(axes: "Axes", history: Sequence[Entry]) -> None:
    axes.plot(*series(history, "learning_rate"), color=RED, linewidth=1.5)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=False)
    axes.set_ylim(bottom=0)
    axes.set_title(tr("Learning rate"))


def _draw_dev(axes: "Axes", history: Sequence[Entry]) -> None:
    names = dev_names(history)
    for name, (colour, line, marker) in zip(names, itertools.cycle(_LOOKS), strict=False):
        steps, values = series(history, name)
        axes.plot(
            steps,
            values,
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=4,
            linewidth=1.3,
            markevery=(0, max(1, len(steps) // _MARKERS)),
            label=name.rpartition("/")[2],
        )
    metric = names[0].removeprefix(DEV).rpartition("/")[0]
    axes.set_title(tr("{metric} on the dev sample, by dimension", metric=label(metric)))
