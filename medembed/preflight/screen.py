"""Show what preflight found on one screen, without any row's text. Pure."""

import textwrap
from collections.abc import Sequence

from medembed.data.dataset import format_counts
from medembed.preflight.plan import EncodePlan, TrainPlan
from medembed.preflight.preflight import Preflight
from medembed.preflight.quality import ALL, RecallCell, Survey
from medembed.preflight.queries import SMALLEST_SLICE

_WIDTH = 100
_LABEL = 12
_RULES = 5  # that "left out" names
_SLICES = 4  # that the table of recall names, and those too small to judge
_NAME = 30  # columns of that table's names
_HEADLINES = {
    "fine-tune": "FINE-TUNE: it is worth it.",
    "do not": "DO NOT fine-tune: it is not worth it.",
    "marginal": "MARGINAL: fine-tuning may be worth it, or not.",
}


def format_screen(result: Preflight, warnings: Sequence[str]) -> list[str]:
    """Return lines of at most 100 columns: the verdict and why, the measures, the warnings."""
    lines = [_HEADLINES[result.verdict.answer]]
    for reason in result.verdict.reasons:
        lines += _wrap("  ", reason)
    lines.append("")
    sections = {
        "quality": _quality(result),
        "truncation": _truncation(result),
        "data": _data(result),
        "encode": _encode(result),
        "train": _train(result),
    }
    for label, texts in sections.items():
        for number, text in enumerate(texts):
            lines += _wrap(("" if number else label).ljust(_LABEL), text)
    lines.append("")
    for warning in warnings or ["nothing to warn of"]:
        lines += _wrap("! " if warnings else "", warning)
    return lines


def _wrap(label: str, text: str) -> list[str]:
    """Return lines with the label in front of the first, broken at no no-break space."""
    lines = textwrap.wrap(text, _WIDTH, initial_indent=label, subsequent_indent=" " * len(label))
    return [line.replace("\u00a0", " ") for line in lines]


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def _quality(result: Preflight) -> list[str]:
    sample = result.sample
    if result.survey is None:
        return [f"not measured: no {sample.split} query has a positive document"]
    own = result.survey.cells[0].recall
    kind = "weak " if sample.are_weak else ""
    is_whole = sample.documents == sample.all_documents
    basis = "on all" if is_whole else f"estimated from {sample.documents:,} of"
    return [
        f"recall@10 {own.value:.3f} (95%: {own.low:.2f} to {own.high:.2f}), "
        f"NDCG@10 {result.survey.ndcg:.3f}, with all {result.width} dimensions",
        f"{sample.queries:,} {kind}{sample.split} queries in {sample.groups:,} groups, {basis} "
        f"{sample.all_documents:,} documents",
        *_slices(result.survey),
    ]


def _slices(survey: Survey) -> list[str]:
    """Show recall@10 of all queries and of the worst slices, then slices too small to judge."""
    rows: dict[str, list[RecallCell]] = {}
    for cell in survey.cells:
        rows.setdefault(cell.name, []).append(cell)
    worst = sorted(rows, key=lambda name: (name != ALL, min(cell.sure.high for cell in rows[name])))
    dimensions = [f"{cell.dimension:>7}" for cell in rows[ALL]]
    lines = ["recall@10 (queries)".ljust(_NAME) + "".join(dimensions)]
    for name in worst[: 1 + _SLICES]:
        short = textwrap.shorten(name, _NAME - 8, placeholder="...")
        line = f"{short} ({rows[name][0].queries:,})".ljust(_NAME)
        for cell in rows[name]:
            line += f"{cell.recall.value:>7.3f}"
        lines.append(line)
    more = len(worst) - 1 - _SLICES
    if more > 0:
        lines.append(f"and {_count(more, 'slice')} that did better: summary.json has them")
    if survey.few:
        shown = [_unbroken(f"{name} ({count:,})") for name, count in survey.few.items()]
        rest = f" and {len(shown) - _SLICES} more" if len(shown) > _SLICES else ""
        names = ", ".join(shown[:_SLICES]) + rest
        lines.append(f"not judged, as under {SMALLEST_SLICE} groups (queries): {names}")
    return lines


def _truncation(result: Preflight) -> list[str]:
    lines = ["max length   texts cut   tokens lost"]
    for cut in result.cuts:
        own = "   the model's own" if cut.max_length == result.own_length else ""
        lines.append(f"{cut.max_length:>10,}{cut.rows:>12.1%}{cut.tokens:>14.1%}{own}")
    return lines


def _data(result: Preflight) -> list[str]:
    data = result.data
    sample = result.sample
    splits = format_counts(data.queries)
    rows = f" in {sample.all_rows:,} chunks" if sample.all_rows > sample.all_documents else ""
    left_out = [f"{count:,} {rule}" for rule, count in data.dropped.items()]
    more = len(left_out) - _RULES
    if more > 0:
        rest = sum(list(data.dropped.values())[_RULES:])
        left_out[_RULES:] = [f"{rest:,} by {more} more rules"]
    return [
        f"{sample.all_documents:,} documents{rows}; queries with a positive: {splits}; "
        f"without: {data.without_positive:,}",
        "left out: " + ("; ".join(left_out) or "nothing"),
    ]


def _encode(result: Preflight) -> list[str]:
    plan = result.encode
    return [
        f"{_duration(plan.seconds)} for the corpus, before and after training, at "
        f"{plan.rows_per_s:,.0f} texts/s or {plan.tokens_per_s:,.0f} tokens/s",
        _workers(plan),
    ]


def _train(result: Preflight) -> list[str]:
    plan = result.train
    if not plan.is_timed:
        return [f"not timed: loss {plan.loss} is not a ranking loss"]
    negatives = (
        f"{plan.negatives:,} negatives per query: batch {plan.batch_size:,} x "
        f"{_count(plan.workers, 'worker')}, {plan.mined} mined for each"
    )
    if plan.seconds_per_step is None or plan.seconds is None:
        return [
            "not timed: "
            + ("a batch does not fit in memory" if plan.examples else "no training pair"),
            negatives,
        ]
    return [
        f"{_duration(plan.seconds)} for {plan.examples:,} examples in "
        f"{_count(plan.steps, 'step')} of {plan.seconds_per_step:.2g} s",
        _workers(plan),
        negatives,
    ]


def _count(number: float, noun: str) -> str:
    return f"{number:,.10g} {noun}" + ("" if number == 1 else "s")


def _workers(plan: EncodePlan | TrainPlan) -> str:
    """Say who did it, and what each took: "2 workers with 1 CPU, 0.9 GiB of memory each"."""
    gpu = f" and {_count(plan.gpus, 'GPU')}" if plan.gpus else ""
    of = f" of the GPU's {plan.capacity_bytes / 2**30:.0f}" if plan.capacity_bytes else ""
    return (
        f"{_count(plan.workers, 'worker')} with {_count(plan.cpus, 'CPU')}{gpu}; "
        f"at the peak {plan.memory_bytes / 2**30:.1f}{of} GiB of memory each"
    )


def _duration(seconds: float) -> str:
    """Write seconds in two units: "40 s", "3 min 20 s", "5 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "under 1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
