"""Write metrics and differences in words, and as tables for a terminal. Pure."""

import math
from collections.abc import Sequence

from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import NO_VECTORS, OTHERS, Evaluation
from medembed.language import to_translate, tr, tr_count

GAIN = "gain"
LOSS = "loss"
UNSURE = "unsure"
NO_NUMBER = "–"  # in place of what is not defined; NaN is no word for a reader
NO_INTERVAL = to_translate("[too few for an interval]")
_NAMES = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "f1": "F1",
    "precision": to_translate("precision"),
    "accuracy": to_translate("accuracy"),
    "knn_accuracy": to_translate("kNN accuracy"),
    "triplet_accuracy": to_translate("triplet accuracy"),
    "negative_accuracy": to_translate("negative accuracy"),
    "spearman": "Spearman",
    "pearson": "Pearson",
}
_QUERIES = to_translate("queries")
_LABELLED = to_translate("labelled documents")
_PAIRS = to_translate("scored pairs")
_UNITS = {"knn_accuracy": _LABELLED, "spearman": _PAIRS, "pearson": _PAIRS}
_SIDE_METRICS = ("mrr@", "map@", "accuracy@1", "recall@100", "pearson")


def label(metric: str) -> str:
    """Write a metric as people do: "ndcg@10" -> "NDCG@10", "knn_accuracy" -> "kNN accuracy"."""
    stem, at, depth = metric.partition("@")
    return tr(_NAMES.get(stem, stem.replace("_", " "))) + at + depth


def units_of(metric: str) -> str:
    """Say what a metric has values of: "queries", "labelled documents" or "scored pairs"."""
    return tr(_UNITS.get(metric, _QUERIES))


def count_units(metric: str, count: int) -> str:
    """Write how many units a metric has values of: "1,204 queries" or "1 scored pair"."""
    units = _UNITS.get(metric, _QUERIES)
    if units == _LABELLED:
        return tr_count("{count:,} labelled document", "{count:,} labelled documents", count)
    if units == _PAIRS:
        return tr_count("{count:,} scored pair", "{count:,} scored pairs", count)
    return tr_count("{count:,} query", "{count:,} queries", count)


def count_groups(count: int) -> str:
    """Write a number of groups: "300 groups" or "1 group"."""
    return tr_count("{count:,} group", "{count:,} groups", count)


def units_in_groups(comparison: Comparison) -> str:
    """Write what a comparison counts: "1,204 queries in 300 groups"."""
    units = count_units(comparison.objective, comparison.units)
    return tr("{units} in {groups}", units=units, groups=count_groups(comparison.groups))


def thousands(count: int) -> str:
    """Write a whole number, its thousands parted."""
    return tr("{count:,}", count=count)


def title_of(comparison: Comparison) -> str:
    """Say which model is compared with which."""
    return tr("{model} against {baseline}", model=comparison.model, baseline=comparison.baseline)


def slice_label(name: str) -> str:
    """Return the name of a language or tag; of those of few units each, "others"."""
    return tr(name) if name == OTHERS else name


def slice_title(kind: str, name: str) -> str:
    """Write a slice with its kind: "language fr -> en", "tag others"."""
    return f"{tr(kind)} {slice_label(name)}"


def at_dimensions(*dimensions: int) -> str:
    """Write " at 384 and 64 dimensions", to follow a word; empty for a ranking without vectors."""
    if dimensions == (NO_VECTORS,):
        return ""
    return tr(" at {dimensions} dimensions", dimensions=listed(dimensions))


def number(value: float, form: str = ".3f") -> str:
    """Write a value with three decimals, or in another format; a dash where it is not finite."""
    return format(value, form) if math.isfinite(value) else NO_NUMBER


def interval(difference: Difference) -> str:
    """Write the 95% interval of this difference alone, "[+0.110, +0.142]", or that none is."""
    if not (math.isfinite(difference.low) and math.isfinite(difference.high)):
        return tr(NO_INTERVAL)
    return f"[{difference.low:+.3f}, {difference.high:+.3f}]"


def verdict(difference: Difference) -> str:
    """Say GAIN or LOSS where the interval that holds for all differences excludes 0."""
    if difference.sure_low <= 0 <= difference.sure_high:
        return UNSURE
    return GAIN if (difference.mean > 0) != difference.is_lower_better else LOSS


def listed(names: Sequence[object]) -> str:
    """Write names in a sentence: "384, 128 and 32"."""
    *most, last = [str(name) for name in names]
    return tr("{most} and {last}", most=", ".join(most), last=last) if most else last


def format_table(comparison: Comparison) -> str:
    """Write before, after, difference and interval of each metric, one line per dimension."""
    differences = comparison.differences
    dimensions = set[int]().union(*differences.values())
    table = [[tr("dimensions"), *map(_heading, differences)]]
    for dimension in sorted(dimensions, reverse=True):
        cells = [_cell(rows.get(dimension)) for rows in differences.values()]
        table.append([_dimension(comparison, dimension), *cells])
    names = tr(
        "before: {baseline}, after: {model}", baseline=comparison.baseline, model=comparison.model
    )
    return "\n".join([names, *format_columns(table), _counts(comparison)])


def format_slices(comparison: Comparison) -> str:
    """Write the objective per language and tag at the widest dimension; empty without any."""
    if not comparison.slices:
        return ""
    objective = comparison.objective
    table = [[tr("of these"), units_of(objective), tr("groups"), _heading(objective)]]
    for (kind, name), differences in comparison.slices.items():
        row = differences[max(differences)]
        table.append([slice_title(kind, name), str(row.units), str(row.groups), _cell(row)])
    return "\n".join(format_columns(table))


def format_metrics(evaluation: Evaluation) -> list[str]:
    """Write one model alone: the principal metrics and a few more, one line per dimension."""
    measured = evaluation.metric_names
    shown = principal_metrics(measured)
    shown += [name for name in measured if name.startswith(_SIDE_METRICS) and name not in shown]
    table = [[tr("dimensions"), *map(label, shown)]]
    for dimension, row in evaluation.metrics.items():
        cells = [number(row.get(name, math.nan)) for name in shown]
        table.append([str(dimension or NO_NUMBER), *cells])
    return format_columns(table)


def _dimension(comparison: Comparison, dimension: int) -> str:
    """Write the model's dimension, and the baseline's where it is another."""
    rows = [rows[dimension] for rows in comparison.differences.values() if dimension in rows]
    name = str(dimension or NO_NUMBER)
    baseline = rows[0].dimension
    if baseline in (dimension, NO_VECTORS):
        return name
    return tr("{dimension} to {baseline}", dimension=name, baseline=baseline)


def _heading(metric: str) -> str:
    return tr("{metric}: before, after, difference [95%]", metric=label(metric))


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
    return tr(
        "({units}; each interval resamples groups, for that difference alone; * sure among all "
        "differences compared at once)",
        units=units_in_groups(comparison),
    )
