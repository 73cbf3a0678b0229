"""Warn of what is wrong with data or resources, in a sentence each with what to do. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence

from medembed.data.grouping import HELD
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.retention.sets import RetentionSet
from medembed.language import tr
from medembed.preflight.config import PreflightConfig
from medembed.preflight.plan import EncodePlan, TrainPlan
from medembed.preflight.preflight import Preflight
from medembed.preflight.resources import Resources
from medembed.training.config import TrainingConfig

_FEW_TEST_QUERIES = 100
_MUCH_TEXT_LOST = 0.05
_MANY_REPEATED = 0.05
_MANY_QUERIES_LOST = 0.10
_LARGE_GROUP = 0.20
_FAR_EXTRAPOLATED = 100  # documents that one drawn document stands for
_LONG_S = 600.0  # of training, above which a shorter maximum length is worth a word
_REPEATED = re.compile(r"repeat|duplicate")


def advise(
    result: Preflight,
    config: PreflightConfig,
    encoding: EncodingConfig,
    training: TrainingConfig,
    sets: Sequence[RetentionSet],
) -> list[str]:
    """Return the warnings, those about the data first."""
    return [
        *_about_queries(result),
        *_about_texts(result, config),
        *_about_retention(sets),
        *_about_training(result, training),
        *_about_room("encoding", result.encode, encoding.most_workers, result.resources),
        *_about_room("training", result.train, training.most_workers, result.resources),
    ]


def _about_queries(result: Preflight) -> Iterator[str]:
    data = result.data
    sample = result.sample
    total = sum(data.queries.values())
    if not total and sample.labelled_rows:
        yield tr(
            "{texts:,} texts have a class and no query asks for any: training and measuring need "
            "pairs of query and document; add some.",
            texts=sample.labelled_rows,
        )
    elif not sample.queries:
        yield tr(
            "No {split} query has a positive document: raise splits.{split} or add pairs.",
            split=sample.split,
        )
    if total and data.queries["test"] < _FEW_TEST_QUERIES:
        yield tr(
            "{queries} test queries: under {enough} a gain can hardly be told from chance; raise "
            "splits.test or add pairs.",
            queries=data.queries["test"],
            enough=_FEW_TEST_QUERIES,
        )
    yield from _about_weak_queries(result)
    if data.largest_group > _LARGE_GROUP * total:
        yield tr(
            "One group holds {share:.0%} of the queries ({queries:,}) and falls into one split: "
            "look for a text or key that joins what does not belong together.",
            share=data.largest_group / total,
            queries=data.largest_group,
        )
    lost = _dropped(
        result, lambda rule: "query" in rule and HELD not in rule and not _REPEATED.search(rule)
    )
    if lost > _MANY_QUERIES_LOST * (lost + total):
        yield tr(
            "{lost:,} queries were left out, beside {kept:,} kept: see the rules under 'left out'.",
            lost=lost,
            kept=total,
        )


def _about_weak_queries(result: Preflight) -> Iterator[str]:
    data = result.data
    sample = result.sample
    if sample.are_weak:
        yield tr(
            "All {split} queries were made from titles, names or headings, which are easier than "
            "what people ask: add real queries before you trust the recall.",
            split=sample.split,
        )
    if 2 * data.weak_pairs > data.pairs:
        yield tr(
            "{weak:,} of {pairs:,} training pairs ({share:.0%}) were made from titles, names or "
            "headings: add real queries.",
            weak=data.weak_pairs,
            pairs=data.pairs,
            share=data.weak_pairs / data.pairs,
        )


def _about_texts(result: Preflight, config: PreflightConfig) -> Iterator[str]:
    sample = result.sample
    kept = sample.all_rows + sum(result.data.queries.values())
    repeated = _dropped(result, lambda rule: bool(_REPEATED.search(rule)))
    if repeated > _MANY_REPEATED * (repeated + kept):
        yield tr(
            "{repeated:,} rows repeated others ({share:.0%}) and were left out: there is less to "
            "learn from than the source's size says.",
            repeated=repeated,
            share=repeated / (repeated + kept),
        )
    cut = next(cut for cut in result.cuts if cut.max_length == result.own_length)
    if cut.tokens > _MUCH_TEXT_LOST:
        yield tr(
            "{share:.0%} of the text lies past the model's {tokens} tokens and is never read: cut "
            "documents into chunks (source.chunk_words), or take a model that reads more.",
            share=cut.tokens,
            tokens=result.own_length,
        )
    apart = (sample.all_documents - sample.documents) / max(sample.drawn, 1)
    if apart > _FAR_EXTRAPOLATED:
        yield tr(
            "One sampled document stands for {count:,.0f}: the recall is a rough guess; raise "
            "preflight.sample_documents above {sample:,}.",
            count=apart,
            sample=config.sample_documents,
        )


def _about_retention(sets: Sequence[RetentionSet]) -> Iterator[str]:
    if not sets:
        yield tr(
            "No retention set is given, so that nobody will see what the model loses on other "
            "topics, kinds of question or languages: give data sets that are not trained on, "
            "retention=[...]."
        )
    yield from (kept.unread for kept in sets if kept.unread)


def _about_training(result: Preflight, training: TrainingConfig) -> Iterator[str]:
    train = result.train
    if train.is_timed and train.examples and not train.steps:
        together = train.batch_size * train.workers * training.accumulation_steps
        yield tr(
            "{examples:,} examples do not fill one batch of {batch:,}: lower training.batch_size.",
            examples=train.examples,
            batch=together,
        )
    if train.is_timed and train.examples and train.seconds_per_step is None:
        yield tr(
            "A batch of {batch} does not fit in memory: lower training.batch_size or "
            "training.max_length.",
            batch=train.batch_size,
        )
    is_long = (train.seconds or 0) > _LONG_S
    if is_long and 2 * result.typical_length <= (training.max_length or result.own_length):
        yield tr(
            "95% of the texts have at most {tokens} tokens, but a batch takes as long as its "
            "longest text: training.max_length={tokens} makes training shorter.",
            tokens=result.typical_length,
        )
    too_wide = [dimension for dimension in training.dimensions if dimension > result.width]
    if too_wide:
        yield tr(
            "The model has {width} dimensions, and training would refuse {too_wide}: choose "
            "training.dimensions up to its width.",
            width=result.width,
            too_wide=too_wide,
        )


def _about_room(
    name: str, plan: EncodePlan | TrainPlan, workers: int, resources: Resources
) -> Iterator[str]:
    """Warn of what Ray has too little of for so many workers."""
    fitting = resources.fit(workers, plan.cpus, plan.gpus)
    if fitting < workers:
        yield tr(
            "{name}.workers: {workers} asked for, Ray has room for {fitting}: ask for {fitting}, "
            "or wait for ever.",
            name=name,
            workers=workers,
            fitting=fitting,
        )
    if not plan.capacity_bytes and workers * plan.memory_bytes > resources.memory_bytes:
        yield tr(
            "{name}: {workers} x {size:.1f} GiB for its workers do not fit in Ray's "
            "{room:.1f} GiB: ask for fewer workers.",
            name=name,
            workers=workers,
            size=plan.memory_bytes / 2**30,
            room=resources.memory_bytes / 2**30,
        )


def _dropped(result: Preflight, matches: Callable[[str], bool]) -> int:
    return sum(count for rule, count in result.data.dropped.items() if matches(rule))
