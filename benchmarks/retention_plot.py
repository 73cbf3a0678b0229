"""What is gained in domain against what is lost elsewhere, as a picture: a point for each way and
dimension.
"""

from dataclasses import dataclass

from medembed.evaluation.report.canvas import COLOURS, MARKERS, STYLE, start_figure, to_png


@dataclass(frozen=True)
class Front:
    """A way of training at a dimension: NDCG@10 above the turned base model, in domain and
    elsewhere.
    """

    way: str
    dimension: int
    gained: float
    kept: float


def draw_front(rows: list[Front]) -> bytes:
    """The PNG: a panel for each dimension, up and right is better."""
    from matplotlib import rc_context

    dimensions = list(dict.fromkeys(row.dimension for row in rows))
    ways = list(dict.fromkeys(row.way for row in rows))
    with rc_context(STYLE):
        figure, axes = start_figure(len(dimensions), height=2.6 * len(dimensions))
        for dimension, panel in zip(dimensions, axes, strict=True):
            for row in rows:
                if row.dimension == dimension:
                    look = ways.index(row.way)
                    colour, marker = COLOURS[look % len(COLOURS)], MARKERS[look % len(MARKERS)]
                    label = row.way if dimension == dimensions[0] else None
                    filled = "full" if look < len(COLOURS) else "none"
                    panel.plot(
                        row.gained,
                        row.kept,
                        marker,
                        color=colour,
                        markersize=7,
                        fillstyle=filled,
                        label=label,
                    )
            panel.axhline(0, color="#94a3b8", linewidth=0.8)
            panel.grid()
            panel.set_ylabel(f"elsewhere, {dimension}")
        axes[-1].set_xlabel("in domain: NDCG@10 above the turned base model")
        figure.legend(loc="outside lower left", ncols=2)
        return to_png(figure)
