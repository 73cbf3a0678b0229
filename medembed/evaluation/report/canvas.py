"""What all figures share: size, style, colours, the scale of dimensions, PNG bytes. Pure."""

import io
import math
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#0f172a"
MUTED = "#475569"
TEAL = "#0f766e"
RED = "#b91c1c"
COLOURS = (TEAL, "#64748b", "#b45309", "#4338ca", "#9d174d")  # model, then baselines
LINES = ("-", "--", ":", "-.", "--")
MARKERS = "osD^v"
STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#94a3b8",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.markersize": 5,
}


def draw_curve(axes: "Axes", place: int, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw a model's line; colour, dashes and marker go by place, to be told apart on paper too."""
    axes.plot(x, y, color=COLOURS[place], linestyle=LINES[place], marker=MARKERS[place], label=name)


def scale_dimensions(axes: "Axes", dimensions: Set[int]) -> None:
    """Set a logarithmic scale with a tick per dimension; of two too near each other the wider."""
    axes.set_xscale("log", base=2)
    nearest = 0.1 * math.log(max(dimensions) / min(dimensions))
    ticks: list[int] = []
    for dimension in sorted(dimensions, reverse=True):
        if not ticks or math.log(ticks[-1] / dimension) > nearest:
            ticks.append(dimension)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")


def draw_legend(axes: "Axes") -> None:
    """Put it below the axes, where it hides no curve; in two columns if the names are short."""
    names = axes.get_legend_handles_labels()[1]
    axes.figure.legend(loc="outside lower left", ncols=2 if max(map(len, names)) <= 22 else 1)


def short(name: str, room: int = 36) -> str:
    """Cut the start of a name longer than `room`: models of one folder differ at the end."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def start_figure(
    rows: int = 1, columns: int = 1, height: float = 3.2
) -> "tuple[Figure, list[Axes]]":
    """Start a figure 4.6 inches wide; axes come row by row, those of a row share the y scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, height))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=columns > 1)
    return figure, list(panels.flat)


def to_png(figure: "Figure") -> bytes:
    """Return its bytes, the same for the same figure."""
    buffer = io.BytesIO()
    # a version in the file would change its bytes
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()
