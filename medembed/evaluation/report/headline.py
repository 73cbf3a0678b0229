"""Say the result in a sentence or two, and what a reader must know before the numbers. Pure."""

from collections.abc import Mapping, Sequence

from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.compare import Comparison, Difference
from medembed.evaluation.report.page import Page
from medembed.evaluation.result import NO_VECTORS
from medembed.evaluation.retention.words import explain_losses
from medembed.evaluation.words import (
    GAIN,
    LOSS,
    at_dimensions,
    interval,
    label,
    listed,
    slice_title,
    verdict,
)
from medembed.language import to_translate, tr

MANY_CUT = 0.1  # share of texts longer than the model reads, from which the page warns
_BETTER = to_translate(
    "{model} is better than {baseline}{where}: {metric} {after:.3f} against {before:.3f}{at}."
)
_WORSE = to_translate(
    "{model} is worse than {baseline}{where}: {metric} {after:.3f} against {before:.3f}{at}."
)
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
        sentences.append(_sentence(comparison, _BETTER, better))
    if worse:
        sentences.append(_sentence(comparison, _WORSE, worse))
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
            tr(
                "Documents look alike to {model}: two different ones have a cosine of {mean:.2f} "
                "on average (standard deviation {spread:.2f}), as E5 models have it. A ranking "
                "hangs on small differences, and a threshold on a cosine has to lie above that.",
                model=page.model.title,
                mean=inspection.mean_cosine,
                spread=inspection.spread,
            )
        )
    cut = inspection.truncation if inspection else None
    if cut and cut.cut >= MANY_CUT:
        lines.append(
            tr(
                "{cut:.0%} of the texts are longer than the {max_length:,} tokens that {model} "
                "reads; {lost:.0%} of all tokens are never seen.",
                cut=cut.cut,
                max_length=cut.max_length,
                model=page.model.title,
                lost=cut.lost,
            )
        )
    return lines


def _beats_wider(dimension: int, row: Difference) -> bool:
    return NO_VECTORS < dimension < row.dimension and verdict(row) == GAIN


def _beats(comparison: Comparison, small: int) -> str:
    row = comparison.narrow[small]
    return tr(
        "{small} dimensions of {model} ({metric} {after:.3f}) beat {wide} of {baseline} "
        "({before:.3f}): {times:.3g} times less to store and search.",
        small=small,
        model=comparison.model,
        metric=label(comparison.objective),
        after=row.after,
        wide=row.dimension,
        baseline=comparison.baseline,
        before=row.before,
        times=row.dimension / small,
    )


def _sentence(comparison: Comparison, message: str, dimensions: Sequence[int]) -> str:
    """Write _BETTER or _WORSE about these dimensions, widest first."""
    rows = comparison.differences[comparison.objective]
    row = rows[dimensions[0]]
    is_all = len(dimensions) == len(rows) > 1
    at = tr(" at {dimension}", dimension=dimensions[0]) if len(dimensions) > 1 else ""
    return tr(
        message,
        model=comparison.model,
        baseline=comparison.baseline,
        where=tr(" at every dimension") if is_all else at_dimensions(*dimensions),
        metric=label(comparison.objective),
        after=row.after,
        before=row.before,
        at=at,
    )


def _nothing_sure(comparison: Comparison, row: Difference) -> str:
    has_vectors = max(comparison.differences[comparison.objective]) != NO_VECTORS
    start = tr(
        "No sure difference between {model} and {baseline}: {metric} {after:.3f} against "
        "{before:.3f}{where}",
        model=comparison.model,
        baseline=comparison.baseline,
        metric=label(comparison.objective),
        after=row.after,
        before=row.before,
        where=tr(" at the widest dimension") if has_vectors else "",
    )
    if comparison.groups < FEWEST_GROUPS:
        return tr(
            "{start}. Nothing is sure with fewer than {fewest} groups (here {groups}).",
            start=start,
            fewest=FEWEST_GROUPS,
            groups=comparison.groups,
        )
    return tr(
        "{start}, difference {mean:+.3f} {interval}.",
        start=start,
        mean=row.mean,
        interval=interval(row),
    )


def _alone(page: Page) -> str:
    objective = page.objective
    rows = {d: row[objective] for d, row in page.model.metrics.items() if objective in row}
    if not rows:
        return tr("{model}: nothing could be measured.", model=page.model.title)
    wide = max(rows)
    small = min(rows)
    kept = rest = ""
    if rows[wide] > 0:
        kept = tr(" ({share:.0%} of it)", share=rows[small] / rows[wide])
    if small < wide:
        rest = tr(", {value:.3f} at {dimension}", value=rows[small], dimension=small) + kept
    return tr(
        "{model}: {metric} {value:.3f}{at}{rest}.",
        model=page.model.title,
        metric=label(objective),
        value=rows[wide],
        at=at_dimensions(wide),
        rest=rest,
    )


def _losses(comparison: Comparison) -> list[str]:
    """Name sure losses in metrics other than the objective, and in languages and tags."""
    metrics = {}
    for metric, rows in comparison.differences.items():
        if metric != comparison.objective:
            metrics[label(metric)] = rows
    slices = {slice_title(*key): rows for key, rows in comparison.slices.items()}
    lines = []
    losses = _name_losses(metrics)
    if losses:
        lines.append(tr("Worse in {losses}.", losses=listed(losses)))
    losses = _name_losses(slices)
    if losses:
        metric = label(comparison.objective)
        lines.append(tr("Worse in {metric} for {losses}.", metric=metric, losses=listed(losses)))
    return lines


def _name_losses(named: Mapping[str, Mapping[int, Difference]]) -> list[str]:
    """Name each whose difference is surely a loss, at the widest dimension where it is."""
    losses = []
    for name, rows in named.items():
        worse = [d for d, row in rows.items() if verdict(row) == LOSS]
        if worse:
            row = rows[max(worse)]
            losses.append(
                tr(
                    "{name} ({after:.3f} against {before:.3f}{at})",
                    name=name,
                    after=row.after,
                    before=row.before,
                    at=at_dimensions(max(worse)),
                )
            )
    if len(losses) > _NAMED:
        losses = [*losses[:_NAMED], tr("{count} more", count=len(losses) - _NAMED)]
    return losses


def _must_rank_failures(page: Page) -> list[str]:
    failing: dict[str, list[int]] = {}
    for dimension, outcomes in sorted(page.model.must_rank.items(), reverse=True):
        for outcome in outcomes:
            if not outcome.holds:
                failing.setdefault(outcome.title, []).append(dimension)
    lines = []
    for name, dimensions in failing.items():
        at = at_dimensions(*dimensions)
        lines.append(tr("Must-rank case “{name}” fails{at}.", name=name, at=at))
    return lines
