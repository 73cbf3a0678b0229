"""Draw what a search tried and found, as one interactive HTML page that loads nothing.

It has numbers and the names of settings, no text.
"""

import html
import warnings
from collections.abc import Sequence
from typing import Any

from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.words import format_retention
from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Axis
from medembed.tuning.trials import TrialRecord

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


_IMPORTANCE = (
    "Share of the scores' variance that a setting explains (PED-ANOVA); a hint "
    "from few trials, no proof."
)
_PARETO = "Trials trained to their end; the line joins those that no other beats in both."


def draw_report(
    records: Sequence[TrialRecord],
    best: TrialRecord,
    axes: Sequence[Axis],
    config: TuneConfig,
    retention: Retention | None = None,
) -> str:
    """Return the page: winner, retention, settings, importance, curves, Pareto front, trials."""
    from plotly.offline import get_plotlyjs

    objective = config.describe_objective()
    complete = [record for record in records if record.state == "complete"]
    study = _study(complete, axes)
    figures = [
        _figure(
            "Settings and score",
            "Each line is a trial that was trained to its end.",
            _parallel(study),
        ),
        _figure("Which settings matter", _IMPORTANCE, _importance(study, complete)),
        _figure(
            "Learning curves",
            "Grey: stopped at a rung. Click a trial to hide it.",
            _curves(records, best, objective),
        ),
        _figure("Few dimensions against full width", _PARETO, _pareto(complete, best, config)),
    ]
    states = [record.state for record in records]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("complete", "stopped", "failed")
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Search of "
        f"settings</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>"
        f"<h1>Search of settings</h1><p>{html.escape(objective)}. {len(records)} trials: "
        f"{counts}.</p><p><b>{html.escape(_headline(records, best))}</b></p>"
        + _elsewhere(retention)
        + "".join(figures)
        + f"<h2>Trials</h2><div class=wide>{_table(records, best, axes)}</div></html>"
    )


def _figure(title: str, note: str, figure: Any) -> str:
    """Return a figure under its title; nothing where there is none."""
    if figure is None:
        return ""
    figure.update_layout(**_LAYOUT)
    drawn = figure.to_html(full_html=False, include_plotlyjs=False)
    return f"<h2>{html.escape(title)}</h2><p class=note>{html.escape(note)}</p>{drawn}"


def _elsewhere(retention: Retention | None) -> str:
    lines = "\n".join(format_retention(retention)).strip()
    return f"<h2>Elsewhere</h2><pre class=wide>{html.escape(lines)}</pre>" if lines else ""


def _headline(records: Sequence[TrialRecord], best: TrialRecord) -> str:
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


def _study(complete: Sequence[TrialRecord], axes: Sequence[Axis]) -> Any:
    """Return Optuna's study of the trials that were trained to their end."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {axis.name: axis.distribution() for axis in axes}
    for record in complete:
        trial = optuna.trial.create_trial(
            value=record.score, params=record.point, distributions=distributions
        )
        study.add_trial(trial)
    return study


def _parallel(study: Any) -> Any:
    from optuna.visualization import plot_parallel_coordinate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        return plot_parallel_coordinate(study, target_name="dev score")


def _importance(study: Any, complete: Sequence[TrialRecord]) -> Any:
    """Return no figure where too few trials, or all alike, tell nothing."""
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import plot_param_importances

    if len(complete) < 4 or len({record.score for record in complete}) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _curves(records: Sequence[TrialRecord], best: TrialRecord, objective: str) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for record in records:
        if record.course:
            colour = _COLOURS["best" if record.number == best.number else record.state]
            figure.add_scatter(
                x=[measured.examples for measured in record.course],
                y=[measured.objective for measured in record.course],
                mode="lines+markers",
                name=f"trial {record.number}",
                line={"color": colour},
            )
    figure.update_layout(xaxis_title="training examples", yaxis_title=objective.partition(",")[0])
    return figure


def _pareto(complete: Sequence[TrialRecord], best: TrialRecord, config: TuneConfig) -> Any:
    """Draw the score at the objective's smallest dimension against that at full width, if two."""
    import plotly.graph_objects as go

    full = max(config.training.dimensions)
    few = min(config.weights)
    if few == full:
        few = min(config.training.dimensions)
    if few == full or not complete:
        return None
    metrics = [f"{config.training.select_by}/{dimension}" for dimension in (few, full)]
    numbers = []
    points = []
    for record in complete:
        if record.best:
            numbers.append(record.number)
            points.append((record.best.metrics[metrics[0]], record.best.metrics[metrics[1]]))
    front = sorted(point for point in points if not _is_beaten(point, points))

    figure = go.Figure()
    figure.add_scatter(
        x=[point[0] for point in front],
        y=[point[1] for point in front],
        mode="lines",
        name="front",
        line={"color": _COLOURS["complete"], "dash": "dot"},
    )
    colours = [_COLOURS["best" if number == best.number else "complete"] for number in numbers]
    figure.add_scatter(
        x=[point[0] for point in points],
        y=[point[1] for point in points],
        mode="markers+text",
        text=[str(number) for number in numbers],
        textposition="top center",
        name="trials",
        marker={"color": colours, "size": 10},
    )
    figure.update_layout(xaxis_title=metrics[0], yaxis_title=metrics[1])
    return figure


Point = tuple[float, float]


def _is_beaten(point: Point, others: Sequence[Point]) -> bool:
    """Return whether another point is at least as good in both, and better in one."""
    as_good = [other for other in others if other[0] >= point[0] and other[1] >= point[1]]
    return any(other != point for other in as_good)


def _table(records: Sequence[TrialRecord], best: TrialRecord, axes: Sequence[Axis]) -> str:
    names = [axis.name for axis in axes]
    head = ["trial", "state", "dev score", "examples", "seconds", *names, "why"]
    rows = [_row("<tr>", "th", head)]
    for record in sorted(records, key=lambda record: -record.score):
        opening = "<tr class=best>" if record.number == best.number else "<tr>"
        rows.append(_row(opening, "td", _cells(record, names)))
    return f"<table>{''.join(rows)}</table>"


def _row(opening: str, tag: str, cells: Sequence[str]) -> str:
    return opening + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cells(record: TrialRecord, names: Sequence[str]) -> list[str]:
    values = []
    for name in names:
        value = record.point.get(name)
        values.append(f"{value:.3g}" if isinstance(value, float) else str(value))
    return [
        str(record.number),
        record.state,
        f"{record.score:.4f}" if record.course else "",
        f"{record.examples:,}",
        f"{record.seconds:,.0f}",
        *values,
        record.reason,
    ]
