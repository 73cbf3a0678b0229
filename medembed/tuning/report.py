"""What a search tried and found, as one interactive HTML page that loads nothing from elsewhere.

Holds numbers and the names of settings, no text.
"""

import html
import warnings
from collections.abc import Sequence
from typing import Any

from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.words import format_retention
from medembed.tuning.config import TuneConfig
from medembed.tuning.records import Record
from medembed.tuning.space import Axis

_COLOURS = {
    "complete": "#0f766e",
    "stopped": "#94a3b8",
    "failed": "#b91c1c",
    "running": "#94a3b8",
    "best": "#b45309",
}
_STYLE = """
body {
  font-family: system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2937
}
h2 { margin-top: 2.5rem }
table { border-collapse: collapse; font-size: .9rem }
.wide { overflow-x: auto }
td, th {
  padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e5e7eb; white-space: nowrap
}
th { color: #6b7280; font-weight: 500 }
.best td { font-weight: 600; background: #fffbeb }
p.note { color: #6b7280 }
"""
_LAYOUT = {
    "title": None,
    "template": "plotly_white",
    "height": 430,
    "margin": {"l": 60, "r": 30, "t": 30, "b": 50},
}


def draw_report(
    records: Sequence[Record],
    best: Record,
    axes: Sequence[Axis],
    config: TuneConfig,
    objective: str,
    kept: Retention | None = None,
) -> str:
    """The page: the winner against trial 0, what it keeps elsewhere, parallel coordinates,
    importance, learning curves, Pareto front, trials."""
    figures = [
        (
            "Settings and score",
            _parallel(records, axes),
            "Each line is a trial that was trained to its end.",
        ),
        ("Which settings matter", _importance(records, axes), _IMPORTANCE),
        (
            "Learning curves",
            _curves(records, best, objective),
            "Grey: stopped at a rung. Click a trial to hide it.",
        ),
        ("Few dimensions against full width", _pareto(records, best, config), _PARETO),
    ]
    shown, is_first = [], True
    for title, figure, note in figures:
        if figure is None:
            continue
        figure.update_layout(**_LAYOUT)
        drawn = figure.to_html(full_html=False, include_plotlyjs="inline" if is_first else False)
        shown.append(f"<h2>{html.escape(title)}</h2><p class=note>{html.escape(note)}</p>{drawn}")
        is_first = False
    counts = ", ".join(
        f"{sum(record.state == state for record in records)} {state}"
        for state in ("complete", "stopped", "failed")
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Search of "
        f"settings</title><style>{_STYLE}</style><h1>Search of "
        f"settings</h1><p>{html.escape(objective)}. {len(records)} trials: "
        f"{counts}.</p><p><b>{html.escape(_headline(records, best))}</b></p>"
        + _elsewhere(kept)
        + "".join(shown)
        + f"<h2>Trials</h2><div class=wide>{_table(records, best, axes)}</div></html>"
    )


_IMPORTANCE = (
    "Share of the scores' variance that a setting explains (PED-ANOVA); a hint "
    "from few trials, no proof."
)
_PARETO = "Trials trained to their end; the line joins those that no other beats in both."


def _elsewhere(kept: Retention | None) -> str:
    lines = "\n".join(format_retention(kept)).strip()
    return f"<h2>Elsewhere</h2><pre class=wide>{html.escape(lines)}</pre>" if lines else ""


def _headline(records: Sequence[Record], best: Record) -> str:
    default = next((record for record in records if record.number == 0), None)
    if default is None or default.state != "complete":
        return f"Trial {best.number} has the highest dev score, {best.score:.4f}."
    if best.number == 0:
        return f"No trial has a higher dev score than the default configuration, {best.score:.4f}."
    gain = best.score - default.score
    return (
        f"Trial {best.number} has the highest dev score, {best.score:.4f}, {gain:.4f} above the "
        "default configuration. The highest of many on a sample is flattered: compare both on "
        "test before you rely on it."
    )


def _study(
    records: Sequence[Record], axes: Sequence[Axis], values: Any, directions: int = 1
) -> Any:
    """Optuna's study of the trials that were trained to their end."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize"] * directions)
    space = {axis.name: axis.distribution() for axis in axes}
    for record in records:
        study.add_trial(
            optuna.trial.create_trial(
                values=values(record), params=record.point, distributions=space
            )
        )
    return study


def _complete(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.state == "complete"]


def _parallel(records: Sequence[Record], axes: Sequence[Axis]) -> Any:
    from optuna.visualization import plot_parallel_coordinate

    study = _study(_complete(records), axes, lambda record: [record.score])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        return plot_parallel_coordinate(study, target_name="dev score")


def _importance(records: Sequence[Record], axes: Sequence[Axis]) -> Any:
    """None where too few trials, or all alike, tell nothing."""
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import plot_param_importances

    complete = _complete(records)
    if len(complete) < 4 or len({record.score for record in complete}) < 2:
        return None
    study = _study(complete, axes, lambda record: [record.score])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _curves(records: Sequence[Record], best: Record, objective: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for record in records:
        if record.course:
            colour = _COLOURS["best" if record.number == best.number else record.state]
            figure.add_scatter(
                x=[one.examples for one in record.course],
                y=[one.objective for one in record.course],
                mode="lines+markers",
                name=f"trial {record.number}",
                line={"color": colour},
            )
    figure.update_layout(xaxis_title="training examples", yaxis_title=objective.partition(",")[0])
    return figure


def _pareto(records: Sequence[Record], best: Record, config: TuneConfig) -> Any:
    """The score at the objective's smallest dimension against that at full width; None if only one
    is trained.
    """
    import plotly.graph_objects as go

    few, full = min(config.weights), max(config.training.dimensions)
    few = few if few < full else min(config.training.dimensions)
    complete = [record for record in _complete(records) if record.best]
    if few == full or not complete:
        return None
    names = [f"{config.training.select_by}/{dimension}" for dimension in (few, full)]
    points = {
        record.number: tuple(record.best.metrics[name] for name in names)
        for record in complete
        if record.best
    }
    front = sorted(
        number for number, point in points.items() if not _is_beaten(point, list(points.values()))
    )
    front.sort(key=lambda number: points[number])
    figure = go.Figure()
    line = {"color": _COLOURS["complete"], "dash": "dot"}
    figure.add_scatter(
        x=[points[number][0] for number in front],
        y=[points[number][1] for number in front],
        mode="lines",
        name="front",
        line=line,
    )
    figure.add_scatter(
        x=[point[0] for point in points.values()],
        y=[point[1] for point in points.values()],
        mode="markers+text",
        text=[f"{number}" for number in points],
        textposition="top center",
        name="trials",
        marker={
            "color": [
                _COLOURS["best" if number == best.number else "complete"] for number in points
            ],
            "size": 10,
        },
    )
    figure.update_layout(xaxis_title=names[0], yaxis_title=names[1])
    return figure


def _is_beaten(point: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    return any(
        all(theirs >= ours for theirs, ours in zip(other, point, strict=True))
        and tuple(other) != tuple(point)
        for other in others
    )


def _table(records: Sequence[Record], best: Record, axes: Sequence[Axis]) -> str:
    head = [
        "trial",
        "state",
        "dev score",
        "examples",
        "seconds",
        *(axis.name for axis in axes),
        "why",
    ]
    rows = [
        f"<tr{' class=best' if record.number == best.number else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(record, axes))
        + "</tr>"
        for record in sorted(records, key=lambda record: -record.score)
    ]
    header = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<table><tr>{header}</tr>{''.join(rows)}</table>"


def _cells(record: Record, axes: Sequence[Axis]) -> list[str]:
    score = f"{record.score:.4f}" if record.course else ""
    numbers = [
        f"{record.number}",
        record.state,
        score,
        f"{record.examples:,}",
        f"{record.seconds:,.0f}",
    ]
    return [*numbers, *(_show(record.point.get(axis.name)) for axis in axes), record.reason]


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
