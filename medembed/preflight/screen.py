"""Show what preflight found on one screen, without any row's text. Pure."""

import textwrap
from collections.abc import Sequence

from medembed.data.dataset import format_counts
from medembed.evaluation.words import format_columns
from medembed.language import to_translate, tr, tr_count
from medembed.preflight.plan import EncodePlan, TrainPlan
from medembed.preflight.preflight import Preflight, SampleFacts
from medembed.preflight.quality import ALL, RecallCell, Survey
from medembed.preflight.queries import SMALLEST_SLICE, show_slice

_WIDTH = 100
_RULES = 5  # that "left out" names
_SLICES = 4  # that the table of recall names, and those too small to judge
_NAME = 30  # columns of that table's names
_HEADLINES = {
    "fine-tune": to_translate("FINE-TUNE: it is worth it."),
    "do not": to_translate("DO NOT fine-tune: it is not worth it."),
    "marginal": to_translate("MARGINAL: fine-tuning may be worth it, or not."),
}
_ASKED = to_translate("{queries:,} {split} queries in {groups:,} groups, {basis}")
_WEAK = to_translate("{queries:,} weak {split} queries in {groups:,} groups, {basis}")


def format_screen(result: Preflight, warnings: Sequence[str]) -> list[str]:
    """Return lines of at most 100 columns: the verdict and why, the measures, the warnings."""
    lines = [tr(_HEADLINES[result.verdict.answer])]
    for reason in result.verdict.reasons:
        lines += _wrap("  ", reason)
    lines.append("")
    sections = {
        tr("quality"): _quality(result),
        tr("truncation"): _truncation(result),
        tr("data"): _data(result),
        tr("encode"): _encode(result),
        tr("train"): _train(result),
    }
    width = max(map(len, sections)) + 2
    for label, texts in sections.items():
        for number, text in enumerate(texts):
            lines += _wrap(("" if number else label).ljust(width), text)
    lines.append("")
    for warning in warnings or [tr("nothing to warn of")]:
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
        return [tr("not measured: no {split} query has a positive document", split=sample.split)]
    own = result.survey.cells[0].recall
    return [
        tr(
            "recall@10 {recall:.3f} (95%: {low:.2f} to {high:.2f}), NDCG@10 {ndcg:.3f}, with all "
            "{width} dimensions",
            recall=own.value,
            low=own.low,
            high=own.high,
            ndcg=result.survey.ndcg,
            width=result.width,
        ),
        tr(
            _WEAK if sample.are_weak else _ASKED,
            queries=sample.queries,
            split=sample.split,
            groups=sample.groups,
            basis=_basis(sample),
        ),
        *_slices(result.survey),
    ]


def _basis(sample: SampleFacts) -> str:
    """Return which documents the queries were ranked against."""
    if sample.documents == sample.all_documents:
        return tr("on all {documents:,} documents", documents=sample.all_documents)
    return tr(
        "estimated from {sampled:,} of {documents:,} documents",
        sampled=sample.documents,
        documents=sample.all_documents,
    )


def _slices(survey: Survey) -> list[str]:
    """Show recall@10 of all queries and of the worst slices, then slices too small to judge."""
    rows: dict[str, list[RecallCell]] = {}
    for cell in survey.cells:
        rows.setdefault(cell.name, []).append(cell)
    worst = sorted(rows, key=lambda name: (name != ALL, min(cell.sure.high for cell in rows[name])))
    dimensions = [f"{cell.dimension:>7}" for cell in rows[ALL]]
    lines = [tr("recall@10 (queries)").ljust(_NAME) + "".join(dimensions)]
    for name in worst[: 1 + _SLICES]:
        short = textwrap.shorten(show_slice(name), _NAME - 8, placeholder="...")
        line = _counted(short, rows[name][0].queries).ljust(_NAME)
        for cell in rows[name]:
            line += f"{cell.recall.value:>7.3f}"
        lines.append(line)
    more = len(worst) - 1 - _SLICES
    if more > 0:
        lines.append(
            tr_count(
                "and {count:,} slice that did better: summary.json has them",
                "and {count:,} slices that did better: summary.json has them",
                more,
            )
        )
    if survey.few:
        shown = [_unbroken(_counted(show_slice(name), n)) for name, n in survey.few.items()]
        names = ", ".join(shown[:_SLICES])
        if len(shown) > _SLICES:
            names = tr("{names} and {count} more", names=names, count=len(shown) - _SLICES)
        lines.append(
            tr(
                "not judged, as under {groups} groups (queries): {names}",
                groups=SMALLEST_SLICE,
                names=names,
            )
        )
    return lines


def _counted(name: str, queries: int) -> str:
    return tr("{name} ({queries:,})", name=name, queries=queries)


def _truncation(result: Preflight) -> list[str]:
    table = [[tr("max length"), tr("texts cut"), tr("tokens lost"), ""]]
    for cut in result.cuts:
        length = tr("{count:,}", count=cut.max_length)
        own = tr("the model's own") if cut.max_length == result.own_length else ""
        table.append([length, *map(_percent, (cut.rows, cut.tokens)), own])
    return format_columns(table)


def _percent(share: float) -> str:
    return tr("{share:.1%}", share=share)


def _data(result: Preflight) -> list[str]:
    data = result.data
    sample = result.sample
    documents = tr("{documents:,} documents", documents=sample.all_documents)
    if sample.all_rows > sample.all_documents:
        documents = tr(
            "{documents:,} documents in {chunks:,} chunks",
            documents=sample.all_documents,
            chunks=sample.all_rows,
        )
    left_out = [format_counts({rule: count}) for rule, count in data.dropped.items()]
    more = len(left_out) - _RULES
    if more > 0:
        rest = sum(list(data.dropped.values())[_RULES:])
        left_out[_RULES:] = [tr("{rest:,} by {rules} more rules", rest=rest, rules=more)]
    return [
        tr(
            "{documents}; queries with a positive: {splits}; without: {without:,}",
            documents=documents,
            splits=format_counts(data.queries),
            without=data.without_positive,
        ),
        tr("left out: {rules}", rules=tr("; ").join(left_out) or tr("nothing")),
    ]


def _encode(result: Preflight) -> list[str]:
    plan = result.encode
    return [
        tr(
            "{time} for the corpus, before and after training, at {texts:,.0f} texts/s or "
            "{tokens:,.0f} tokens/s",
            time=_duration(plan.seconds),
            texts=plan.rows_per_s,
            tokens=plan.tokens_per_s,
        ),
        _workers(plan),
    ]


def _train(result: Preflight) -> list[str]:
    plan = result.train
    if not plan.is_timed:
        return [tr("not timed: loss {loss} is not a ranking loss", loss=plan.loss)]
    negatives = tr(
        "{negatives:,} negatives per query: batch {batch:,} x {workers}, {mined} mined for each",
        negatives=plan.negatives,
        batch=plan.batch_size,
        workers=tr_count("{count:,} worker", "{count:,} workers", plan.workers),
        mined=plan.mined,
    )
    if plan.seconds_per_step is None or plan.seconds is None:
        if plan.examples:
            return [tr("not timed: a batch does not fit in memory"), negatives]
        return [tr("not timed: no training pair"), negatives]
    time = tr(
        "{time} for {examples:,} examples in {steps} of {seconds:.2g} s",
        time=_duration(plan.seconds),
        examples=plan.examples,
        steps=tr_count("{count:,} step", "{count:,} steps", plan.steps),
        seconds=plan.seconds_per_step,
    )
    return [time, _workers(plan), negatives]


def _workers(plan: EncodePlan | TrainPlan) -> str:
    """Say who did it, and what each took: "2 workers with 1 CPU, 0.9 GiB of memory each"."""
    share = _share(plan.cpus, tr("CPU"), tr("CPUs"))
    if plan.gpus:
        gpus = _share(plan.gpus, tr("GPU"), tr("GPUs"))
        share = tr("{cpus} and {gpus}", cpus=share, gpus=gpus)
    size = f"{plan.memory_bytes / 2**30:.1f}"
    if plan.capacity_bytes:
        size = tr("{size} of the GPU's {room:.0f}", size=size, room=plan.capacity_bytes / 2**30)
    return tr(
        "{workers} with {share}; at the peak {size} GiB of memory each",
        workers=tr_count("{count:,} worker", "{count:,} workers", plan.workers),
        share=share,
        size=size,
    )


def _share(count: float, one: str, more: str) -> str:
    """Write a worker's share of a node, which may be a part of a GPU: "1 CPU", "0.5 GPUs"."""
    return f"{count:.10g} {one if count == 1 else more}"


def _duration(seconds: float) -> str:
    """Write seconds in two units: "40 s", "3 min 20 s", "5 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else tr("under 1 s")
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return tr("{hours:,} h {minutes} min", hours=whole // 3600, minutes=whole % 3600 // 60)
