"""Say the result in a sentence or two, and what a reader must know before the numbers. Pure."""

from collections.abc import Mapping, Sequence

from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.report.page import Page
from medembed.evaluation.result import NO_VECTORS
from medembed.evaluation.retention.words import explain_losses
from medembed.evaluation.words import GAIN, LOSS, interval, label, listed, verdict

MANY_CUT = 0.1  # share of texts longer than the model reads, from which the page warns
_NAMED = 5  # losses named in a warning; the tables have them all


def headlines(page: Page) -> list[str]:
    """Return a headline for each comparison, or the one of a model that stands alone."""
    return [headline(comparison) for comparison in page.comparisons] or [_alone(page)]


def headline(comparison: Comparison) -> str:
    """Say no more than is sure among all differences of the comparison at once.

    That fewer dimensions of the model beat the baseline's full width is said only where that is
    sure, and where the model is worse is always said.
    """
    rows = dict(sorted(comparison.differences[comparison.objective].items(), reverse=True))
    better = [d for d, row in rows.items() if verdict(row) == GAIN]
    worse = [d for d, row in rows.items() if verdict(row) == LOSS]
    sentences = []
    small = [d for d, row in comparison.narrow.items() if _beats_wider(d, row)]
    if small:
        sentences.append(_beats(comparison, min(small)))
    elif better:
        sentences.append(_sentence(comparison, "is better than", better))
    if worse:
        sentences.append(_sentence(comparison, "is worse than", worse))
    return " ".join(sentences) or _nothing_sure(comparison, rows[max(rows)])


def warnings(page: Page) -> list[str]:
    """Return warnings: cases that fail, sure losses, texts that are alike or cut."""
    lines = _must_rank_failures(page)
    if page.comparisons:
        lines += _losses(page.comparisons[0])
    if page.retention:
        losses = [explain_losses(page.retention, entry) for entry in page.retention.against]
        lines += filter(None, losses)
    inspection = page.inspections.get(page.model.name)
    if inspection and inspection.is_alike:
        lines.append(
            f"Documents look alike to {page.model.name}: two different ones have a cosine of "
            f"{inspection.mean_cosine:.2f} on average (standard deviation "
            f"{inspection.spread:.2f}), as E5 models have it. A ranking hangs on small "
            "differences, and a threshold on a cosine has to lie above that."
        )
    cut = inspection.truncation if inspection else None
    if cut and cut.cut >= MANY_CUT:
        lines.append(
            f"{cut.cut:.0%} of the texts are longer than the {cut.max_length:,} tokens that "
            f"{page.model.name} reads; {cut.lost:.0%} of all tokens are never seen."
        )
    return lines


def _beats_wider(dimension: int, row: Difference) -> bool:
    return NO_VECTORS < dimension < row.dimension and verdict(row) == GAIN


def _beats(comparison: Comparison, small: int) -> str:
    row = comparison.narrow[small]
    return (
        f"{small} dimensions of {comparison.model} ({label(comparison.objective)} "
        f"{row.after:.3f}) beat {row.dimension} of {comparison.baseline} "
        f"({row.before:.3f}): {row.dimension / small:.3g} times less to store and search."
    )


def _sentence(comparison: Comparison, verb: str, dimensions: Sequence[int]) -> str:
    rows = comparison.differences[comparison.objective]
    row = rows[dimensions[0]]
    if dimensions[0] == NO_VECTORS:
        at = ""
    elif len(dimensions) == len(rows) > 1:
        at = " at every dimension"
    else:
        at = f" at {listed(dimensions)} dimensions"
    which = f" at {dimensions[0]}" if len(dimensions) > 1 else ""
    return (
        f"{comparison.model} {verb} {comparison.baseline}{at}: {label(comparison.objective)} "
        f"{row.after:.3f} against {row.before:.3f}{which}."
    )


def _nothing_sure(comparison: Comparison, row: Difference) -> str:
    has_vectors = max(comparison.differences[comparison.objective]) != NO_VECTORS
    width = " at the widest dimension" if has_vectors else ""
    start = (
        f"No sure difference between {comparison.model} and {comparison.baseline}: "
        f"{label(comparison.objective)} {row.after:.3f} against {row.before:.3f}{width}"
    )
    if comparison.groups < FEWEST_GROUPS:
        few = f"Nothing is sure with fewer than {FEWEST_GROUPS} groups (here {comparison.groups})."
        return f"{start}. {few}"
    return f"{start}, difference {row.mean:+.3f} {interval(row)}."


def _alone(page: Page) -> str:
    objective = page.objective
    rows = {d: row[objective] for d, row in page.model.metrics.items() if objective in row}
    if not rows:
        return f"{page.model.name}: nothing could be measured."
    wide = max(rows)
    small = min(rows)
    at = f" at {wide} dimensions" if wide != NO_VECTORS else ""
    kept = f" ({rows[small] / rows[wide]:.0%} of it)" if rows[wide] > 0 else ""
    rest = f", {rows[small]:.3f} at {small}{kept}" if small < wide else ""
    return f"{page.model.name}: {label(objective)} {rows[wide]:.3f}{at}{rest}."


def _losses(comparison: Comparison) -> list[str]:
    """Name sure losses in metrics other than the objective, and in languages and tags."""
    metrics = {}
    for metric, rows in comparison.differences.items():
        if metric != comparison.objective:
            metrics[label(metric)] = rows
    slices = {f"{kind} {name}": rows for (kind, name), rows in comparison.slices.items()}
    lines = []
    for start, named in (
        ("Worse in", metrics),
        (f"Worse in {label(comparison.objective)} for", slices),
    ):
        losses = _name_losses(named)
        if losses:
            lines.append(f"{start} {listed(losses)}.")
    return lines


def _name_losses(named: Mapping[str, Mapping[int, Difference]]) -> list[str]:
    """Name each whose difference is surely a loss, at the widest dimension where it is."""
    losses = []
    for name, rows in named.items():
        worse = [d for d, row in rows.items() if verdict(row) == LOSS]
        if worse:
            row = rows[max(worse)]
            at = f" at {max(worse)} dimensions" if max(worse) != NO_VECTORS else ""
            losses.append(f"{name} ({row.after:.3f} against {row.before:.3f}{at})")
    if len(losses) > _NAMED:
        losses = [*losses[:_NAMED], f"{len(losses) - _NAMED} more"]
    return losses


def _must_rank_failures(page: Page) -> list[str]:
    failing: dict[str, list[int]] = {}
    for dimension, outcomes in sorted(page.model.must_rank.items(), reverse=True):
        for outcome in outcomes:
            if not outcome.holds:
                failing.setdefault(outcome.name, []).append(dimension)
    lines = []
    for name, dimensions in failing.items():
        at = f" at {listed(dimensions)} dimensions" if dimensions != [NO_VECTORS] else ""
        lines.append(f"Must-rank case “{name}” fails{at}.")
    return lines
