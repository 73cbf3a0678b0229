"""Draw what a search tried and found, as one interactive HTML page that loads nothing.

It has numbers and the names of settings, no text.
"""

import html
import warnings
from collections.abc import Sequence
from typing import Any

from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.words import format_retention
from medembed.language import current_language, to_translate, tr
from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Axis, list_distributions
from medembed.tuning.trials import TrialRecord, count_states, list_complete

Point = tuple[float, float]
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


_IMPORTANCE = to_translate(
    "Share of the scores' variance that a setting explains (PED-ANOVA); a hint from few trials, "
    "no proof."
)
_PARETO = to_translate(
    "Trials trained to their end; the line joins those that no other beats in both."
)
_STATES = {
    "running": to_translate("running"),
    "complete": to_translate("complete"),
    "stopped": to_translate("stopped"),
    "failed": to_translate("failed"),
}


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
    complete = list_complete(records)
    study = _study(complete, axes)
    figures = [
        _figure(
            tr("Settings and score"),
            tr("Each line is a trial that was trained to its end."),
            _parallel(study),
        ),
        _figure(tr("Which settings matter"), tr(_IMPORTANCE), _importance(study, complete)),
        _figure(
            tr("Learning curves"),
            tr("Grey: stopped at a rung. Click a trial to hide it."),
            _curves(records, best, objective),
        ),
        _figure(
            tr("Few dimensions against full width"), tr(_PARETO), _pareto(complete, best, config)
        ),
    ]
    states = count_states(records)
    counts = tr(
        "{count} trials: {complete} complete, {stopped} stopped, {failed} failed.",
        count=len(records),
        complete=states["complete"],
        stopped=states["stopped"],
        failed=states["failed"],
    )
    title = tr("Search of settings")
    return (
        f"<!doctype html><html lang={current_language()}><meta charset=utf-8>"
        f"<title>{title}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>"
        f"<h1>{title}</h1><p>{html.escape(objective)}. {counts}"
        f"</p><p><b>{html.escape(_headline(records, best))}</b></p>"
        + _elsewhere(retention)
        + "".join(figures)
        + f"<h2>{tr('Trials')}</h2><div class=wide>{_table(records, best, axes)}</div></html>"
    )


def _figure(title: str, note: str, figure: Any) -> str:
    """Return a figure under its title; nothing without a figure."""
    if figure is None:
        return ""
    figure.update_layout(**_LAYOUT)
    drawn = figure.to_html(full_html=False, include_plotlyjs=False)
    return f"<h2>{html.escape(title)}</h2><p class=note>{html.escape(note)}</p>{drawn}"


def _elsewhere(retention: Retention | None) -> str:
    lines = "\n".join(format_retention(retention)).strip()
    heading = tr("Elsewhere")
    return f"<h2>{heading}</h2><pre class=wide>{html.escape(lines)}</pre>" if lines else ""


def _headline(records: Sequence[TrialRecord], best: TrialRecord) -> str:
    default = records[0]
    if default.state != "complete":
        return tr(
            "Trial {number} has the highest dev score, {score:.4f}.",
            number=best.number,
            score=best.score,
        )
    if best.number == 0:
        return tr(
            "No trial has a higher dev score than the default configuration, {score:.4f}.",
            score=best.score,
        )
    return tr(
        "Trial {number} has the highest dev score, {score:.4f}, {gain:.4f} above the default "
        "configuration. The highest of many on a sample is flattered: compare both on test before "
        "you rely on it.",
        number=best.number,
        score=best.score,
        gain=best.score - default.score,
    )


def _study(complete: Sequence[TrialRecord], axes: Sequence[Axis]) -> Any:
    """Return Optuna's study of the trials that were trained to their end."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = list_distributions(axes)
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
        return plot_parallel_coordinate(study, target_name=tr("dev score"))


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
            _add_points(
                figure,
                [(measured.examples, measured.objective) for measured in record.course],
                mode="lines+markers",
                name=tr("trial {number}", number=record.number),
                line={"color": colour},
            )
    figure.update_layout(
        xaxis_title=tr("training examples"), yaxis_title=objective.partition(",")[0]
    )
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
    x_metric = f"{config.training.select_by}/{few}"
    y_metric = f"{config.training.select_by}/{full}"
    numbers = []
    points = []
    colours = []
    for record in complete:
        if record.best:
            numbers.append(str(record.number))
            points.append((record.best.metrics[x_metric], record.best.metrics[y_metric]))
            colours.append(_COLOURS["best" if record.number == best.number else "complete"])

    figure = go.Figure()
    _add_points(
        figure,
        sorted(point for point in points if not _is_beaten(point, points)),
        mode="lines",
        name=tr("front"),
        line={"color": _COLOURS["complete"], "dash": "dot"},
    )
    _add_points(
        figure,
        points,
        mode="markers+text",
        text=numbers,
        textposition="top center",
        name=tr("trials"),
        marker={"color": colours, "size": 10},
    )
    figure.update_layout(xaxis_title=x_metric, yaxis_title=y_metric)
    return figure


def _add_points(figure: Any, points: Sequence[Point], **look: Any) -> None:
    """Add a trace through these points to a figure, with what says how it looks."""
    xs, ys = zip(*points, strict=True)
    figure.add_scatter(x=xs, y=ys, **look)


def _is_beaten(point: Point, others: Sequence[Point]) -> bool:
    """Return whether another point is at least as good in both, and better in one."""
    x, y = point
    return any(other != point and other[0] >= x and other[1] >= y for other in others)


def _table(records: Sequence[TrialRecord], best: TrialRecord, axes: Sequence[Axis]) -> str:
    names = [axis.name for axis in axes]
    first = [tr("trial"), tr("state"), tr("dev score"), tr("examples"), tr("seconds")]
    head = [*first, *names, tr("why")]
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
        tr(_STATES[record.state]),
        f"{record.score:.4f}" if record.course else "",
        tr("{count:,}", count=record.examples),
        tr("{seconds:,.0f}", seconds=record.seconds),
        *values,
        record.reason,
    ]
