"""Metrics and differences in words and as tables for a terminal. Pure."""

import math
from collections.abc import Sequence

from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.result import NO_VECTORS, Evaluation, principal_metrics

GAIN, LOSS, UNSURE = "gain", "loss", "unsure"
NO_NUMBER = "–"  # in place of what is not defined; NaN is no word for a reader
NO_INTERVAL = "[too few for an interval]"
_NAMES = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "f1": "F1",
    "knn_accuracy": "kNN accuracy",
} | {name: name.capitalize() for name in ("spearman", "pearson")}
_UNITS = {
    "knn_accuracy": "labelled documents",
    "spearman": "scored pairs",
    "pearson": "scored pairs",
}
_SIDE_METRICS = ("mrr@", "map@", "accuracy@1", "recall@100", "pearson")


def label(metric: str) -> str:
    """A metric's name as people write it: "ndcg@10" -> "NDCG@10", "knn_accuracy" -> "kNN
    accuracy".
    """
    stem, at, depth = metric.partition("@")
    return _NAMES.get(stem, stem.replace("_", " ")) + at + depth


def units_of(metric: str) -> str:
    """What a metric has one value for: "queries", "labelled documents" or "scored pairs"."""
    return _UNITS.get(metric, "queries")


def counted(count: int, noun: str) -> str:
    """The count with its noun, "1,204 queries" or "1 query"; the noun is given in the plural."""
    one = noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")
    return f"{count:,} {one if count == 1 else noun}"


def number(value: float, form: str = ".3f") -> str:
    """The value with three decimals, or in another format; a dash where it is not finite."""
    return format(value, form) if math.isfinite(value) else NO_NUMBER


def interval(difference: Difference) -> str:
    """The 95% interval of this difference alone, "[+0.110, +0.142]", or that there is none."""
    if not (math.isfinite(difference.low) and math.isfinite(difference.high)):
        return NO_INTERVAL
    return f"[{difference.low:+.3f}, {difference.high:+.3f}]"


def verdict(difference: Difference) -> str:
    """GAIN or LOSS where the interval that holds for all compared differences at once excludes 0,
    else UNSURE.
    """
    if difference.sure_low <= 0 <= difference.sure_high:
        return UNSURE
    return GAIN if (difference.mean > 0) != difference.is_lower_better else LOSS


def listed(names: Sequence[object]) -> str:
    """The names in a sentence: "384, 128 and 32"."""
    words = [str(name) for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def format_table(comparison: Comparison) -> str:
    """The comparison, one line per dimension: before, after, difference and interval of each
    metric.
    """
    metrics = list(comparison.differences)
    dimensions = sorted({d for rows in comparison.differences.values() for d in rows}, reverse=True)
    rows = [
        [
            _dimension(comparison, dimension),
            *(_cell(comparison.differences[m].get(dimension)) for m in metrics),
        ]
        for dimension in dimensions
    ]
    head = [
        "dimensions",
        *(f"{label(metric)}: before, after, difference [95%]" for metric in metrics),
    ]
    names = f"before: {comparison.baseline}, after: {comparison.model}"
    return "\n".join([names, *format_columns([head, *rows]), _counts(comparison)])


def format_slices(comparison: Comparison) -> str:
    """The objective per language and tag at the widest dimension, one line each; empty where there
    are none.
    """
    if not comparison.slices:
        return ""
    rows = [
        [f"{kind} {name}", str(found.units), str(found.groups), _cell(found)]
        for (kind, name), differences in comparison.slices.items()
        for found in [differences[max(differences)]]
    ]
    metric = label(comparison.objective)
    head = [
        "of these",
        units_of(comparison.objective),
        "groups",
        f"{metric}: before, after, difference [95%]",
    ]
    return "\n".join(format_columns([head, *rows]))


def format_metrics(evaluation: Evaluation) -> list[str]:
    """One model alone: a line of names, then one per dimension with the principal metrics and a few
    more.
    """
    metrics = evaluation.metrics
    measured = list(dict.fromkeys(name for row in metrics.values() for name in row))
    shown = principal_metrics(measured)
    shown += [name for name in measured if name.startswith(_SIDE_METRICS) and name not in shown]
    head = ["dimensions", *(label(name) for name in shown)]
    rows = [
        [str(dimension or NO_NUMBER), *(number(row.get(name, math.nan)) for name in shown)]
        for dimension, row in metrics.items()
    ]
    return format_columns([head, *rows])


def _dimension(comparison: Comparison, dimension: int) -> str:
    found = next(rows[dimension] for rows in comparison.differences.values() if dimension in rows)
    if found.dimension in (dimension, NO_VECTORS):
        return str(dimension or NO_NUMBER)
    return f"{dimension or NO_NUMBER} to {found.dimension}"


def _cell(found: Difference | None) -> str:
    if found is None:
        return NO_NUMBER
    mark = {GAIN: " *", LOSS: " *", UNSURE: "  "}[verdict(found)]
    return (
        f"{number(found.before)}  {number(found.after)}  {number(found.mean, '+.3f')} "
        f"{interval(found)}{mark}"
    )


def format_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "   ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _counts(comparison: Comparison) -> str:
    return (
        f"({counted(comparison.units, units_of(comparison.objective))} in "
        f"{counted(comparison.groups, 'groups')}; each interval resamples groups, for that "
        "difference alone; * sure among all differences compared at once)"
    )
