"""How mining grows with the corpus, as a plot."""

from collections.abc import Sequence
from dataclasses import dataclass

_PLOT = "mine-series.png"


@dataclass(frozen=True)
class Cost:
    """What a search took; `gib` is the peak of its largest worker, libraries included."""

    documents: int
    seconds: float
    gib: float


def seconds_per_document(costs: Sequence[Cost]) -> float:
    """Return the slope of the least-squares line through the origin."""
    products = sum(cost.documents * cost.seconds for cost in costs)
    return products / sum(cost.documents**2 for cost in costs)


def draw_series(costs: Sequence[Cost], queries: int) -> None:
    """Draw seconds with their line, and memory, over documents, as PNG."""
    from matplotlib.figure import Figure

    documents = [cost.documents for cost in costs]
    gib = [cost.gib for cost in costs]
    longest_s = seconds_per_document(costs) * documents[-1]
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, documents[-1]], [0, longest_s], color="grey", linewidth=1, label="line through 0")
    left.plot(documents, [cost.seconds for cost in costs], "o", label="measured")
    left.set(title=f"exact search of {queries:,} queries", ylabel="seconds")
    left.legend()
    right.plot(documents, gib, "o-")
    right.set(title="memory of the largest worker", ylabel="peak GiB")
    for axes in (left, right):
        axes.set(xlabel="documents", xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    right.set_ylim(0, max(1.0, 1.2 * max(gib)))
    figure.savefig(_PLOT, dpi=120)
