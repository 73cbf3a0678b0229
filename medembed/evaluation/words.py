"""Write metrics and differences in words, and as tables for a terminal. Pure."""

import math
from collections.abc import Sequence

from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import NO_VECTORS, Evaluation

GAIN = "gain"
LOSS = "loss"
UNSURE = "unsure"
NO_NUMBER = "–"  # in place of what is not defined; NaN is no word for a reader
NO_INTERVAL = "[too few for an interval]"
_NAMES = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "f1": "F1",
    "knn_accuracy": "kNN accuracy",
    "spearman": "Spearman",
    "pearson": "Pearson",
}
_UNITS = {
    "knn_accuracy": "labelled documents",
    "spearman": "scored pairs",
    "pearson": "scored pairs",
}
_SIDE_METRICS = ("mrr@", "map@", "accuracy@1", "recall@100", "pearson")


def label(metric: str) -> str:
    """Write a metric as people do: "ndcg@10" -> "NDCG@10", "knn_accuracy" -> "kNN accuracy"."""
    stem, at, depth = metric.partition("@")
    return _NAMES.get(stem, stem.replace("_", " ")) + at + depth


def units_of(metric: str) -> str:
    """Say what a metric has values of: "queries", "labelled documents" or "scored pairs"."""
    return _UNITS.get(metric, "queries")


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, "1,204 queries" or "1 query"; it is given in the plural."""
    if count == 1:
        noun = noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")
    return f"{count:,} {noun}"


def number(value: float, form: str = ".3f") -> str:
    """Write a value with three decimals, or in another format; a dash where it is not finite."""
    return format(value, form) if math.isfinite(value) else NO_NUMBER


def interval(difference: Difference) -> str:
    """Write the 95% interval of this difference alone, "[+0.110, +0.142]", or that none is."""
    if not (math.isfinite(difference.low) and math.isfinite(difference.high)):
        return NO_INTERVAL
    return f"[{difference.low:+.3f}, {difference.high:+.3f}]"


def verdict(difference: Difference) -> str:
    """Say GAIN or LOSS where the interval that holds for all differences excludes 0."""
    if difference.sure_low <= 0 <= difference.sure_high:
        return UNSURE
    return GAIN if (difference.mean > 0) != difference.is_lower_better else LOSS


def listed(names: Sequence[object]) -> str:
    """Write names in a sentence: "384, 128 and 32"."""
    *most, last = [str(name) for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def format_table(comparison: Comparison) -> str:
    """Write before, after, difference and interval of each metric, one line per dimension."""
    differences = comparison.differences
    dimensions = set[int]().union(*differences.values())
    head = [f"{label(metric)}: before, after, difference [95%]" for metric in differences]
    table = [["dimensions", *head]]
    for dimension in sorted(dimensions, reverse=True):
        cells = [_cell(rows.get(dimension)) for rows in differences.values()]
        table.append([_dimension(comparison, dimension), *cells])
    names = f"before: {comparison.baseline}, after: {comparison.model}"
    return "\n".join([names, *format_columns(table), _counts(comparison)])


def format_slices(comparison: Comparison) -> str:
    """Write the objective per language and tag at the widest dimension; empty without any."""
    if not comparison.slices:
        return ""
    heading = f"{label(comparison.objective)}: before, after, difference [95%]"
    table = [["of these", units_of(comparison.objective), "groups", heading]]
    for (kind, name), differences in comparison.slices.items():
        row = differences[max(differences)]
        table.append([f"{kind} {name}", str(row.units), str(row.groups), _cell(row)])
    return "\n".join(format_columns(table))


def format_metrics(evaluation: Evaluation) -> list[str]:
    """Write one model alone: the principal metrics and a few more, one line per dimension."""
    measured = evaluation.metric_names
    shown = principal_metrics(measured)
    shown += [name for name in measured if name.startswith(_SIDE_METRICS) and name not in shown]
    table = [["dimensions", *map(label, shown)]]
    for dimension, row in evaluation.metrics.items():
        cells = [number(row.get(name, math.nan)) for name in shown]
        table.append([str(dimension or NO_NUMBER), *cells])
    return format_columns(table)


def _dimension(comparison: Comparison, dimension: int) -> str:
    """Write the model's dimension, and the baseline's where it is another."""
    rows = [rows[dimension] for rows in comparison.differences.values() if dimension in rows]
    name = str(dimension or NO_NUMBER)
    baseline = rows[0].dimension
    return name if baseline in (dimension, NO_VECTORS) else f"{name} to {baseline}"


def _cell(row: Difference | None) -> str:
    if row is None:
        return NO_NUMBER
    mark = "  " if verdict(row) == UNSURE else " *"
    return (
        f"{number(row.before)}  {number(row.after)}  {number(row.mean, '+.3f')} "
        f"{interval(row)}{mark}"
    )


def format_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows as lines, each column as wide as its widest cell."""
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
