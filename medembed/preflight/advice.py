"""Warn of what is wrong with data or resources, in a sentence each with what to do. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence

from medembed.data.grouping import HELD
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.retention.sets import RetentionSet
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
        yield (
            f"{sample.labelled_rows:,} texts have a class and no query asks for any: "
            "training and measuring need pairs of query and document; add some."
        )
    elif not sample.queries:
        yield (
            f"No {sample.split} query has a positive document: raise splits.{sample.split} "
            "or add pairs."
        )
    if total and data.queries["test"] < _FEW_TEST_QUERIES:
        yield (
            f"{data.queries['test']} test queries: under {_FEW_TEST_QUERIES} a gain can hardly be "
            "told from chance; raise splits.test or add pairs."
        )
    if sample.are_weak:
        yield (
            f"All {sample.split} queries were made from titles, names or headings, which are "
            "easier than what people ask: add real queries before you trust the recall."
        )
    if 2 * data.weak_pairs > data.pairs:
        yield (
            f"{data.weak_pairs:,} of {data.pairs:,} training pairs "
            f"({data.weak_pairs / data.pairs:.0%}) were made from titles, names or headings: add "
            "real queries."
        )
    if data.largest_group > _LARGE_GROUP * total:
        yield (
            f"One group holds {data.largest_group / total:.0%} of the queries "
            f"({data.largest_group:,}) and falls into one split: look for a text or key that joins "
            "what does not belong together."
        )
    lost = _dropped(
        result, lambda rule: "query" in rule and HELD not in rule and not _REPEATED.search(rule)
    )
    if lost > _MANY_QUERIES_LOST * (lost + total):
        yield (
            f"{lost:,} queries were left out, beside {total:,} kept: see the rules under "
            "'left out'."
        )


def _about_texts(result: Preflight, config: PreflightConfig) -> Iterator[str]:
    sample = result.sample
    kept = sample.all_rows + sum(result.data.queries.values())
    repeated = _dropped(result, lambda rule: bool(_REPEATED.search(rule)))
    if repeated > _MANY_REPEATED * (repeated + kept):
        yield (
            f"{repeated:,} rows repeated others ({repeated / (repeated + kept):.0%}) and were left "
            "out: there is less to learn from than the source's size says."
        )
    cut = next(cut for cut in result.cuts if cut.max_length == result.own_length)
    if cut.tokens > _MUCH_TEXT_LOST:
        yield (
            f"{cut.tokens:.0%} of the text lies past the model's {result.own_length} tokens and is "
            "never read: cut documents into chunks (source.chunk_words), or take a model that "
            "reads more."
        )
    apart = (sample.all_documents - sample.documents) / max(sample.drawn, 1)
    if apart > _FAR_EXTRAPOLATED:
        yield (
            f"One sampled document stands for {apart:,.0f}: the recall is a rough guess; "
            f"raise preflight.sample_documents above {config.sample_documents:,}."
        )


def _about_retention(sets: Sequence[RetentionSet]) -> Iterator[str]:
    if not sets:
        yield (
            "No retention set is given, so that nobody will see what the model loses on other "
            "topics, kinds of question or languages: give data sets that are not trained on, "
            "retention=[...]."
        )
    yield from (kept.unread for kept in sets if kept.unread)


def _about_training(result: Preflight, training: TrainingConfig) -> Iterator[str]:
    train = result.train
    if train.is_timed and train.examples and not train.steps:
        together = train.batch_size * train.workers * training.accumulation_steps
        yield (
            f"{train.examples:,} examples do not fill one batch of {together:,}: lower "
            "training.batch_size."
        )
    if train.is_timed and train.examples and train.seconds_per_step is None:
        yield (
            f"A batch of {train.batch_size} does not fit in memory: lower "
            "training.batch_size or training.max_length."
        )
    is_long = (train.seconds or 0) > _LONG_S
    if is_long and 2 * result.typical_length <= (training.max_length or result.own_length):
        yield (
            f"95% of the texts have at most {result.typical_length} tokens, but a batch takes as "
            f"long as its longest text: training.max_length={result.typical_length} makes training "
            "shorter."
        )
    too_wide = [dimension for dimension in training.dimensions if dimension > result.width]
    if too_wide:
        yield (
            f"The model has {result.width} dimensions, and training would refuse {too_wide}: "
            "choose training.dimensions up to its width."
        )


def _about_room(
    name: str, plan: EncodePlan | TrainPlan, workers: int, resources: Resources
) -> Iterator[str]:
    """Warn of what Ray has too little of for so many workers."""
    fitting = resources.fit(workers, plan.cpus, plan.gpus)
    if fitting < workers:
        yield (
            f"{name}.workers: {workers} asked for, Ray has room for {fitting}: ask for "
            f"{fitting}, or wait for ever."
        )
    if not plan.capacity_bytes and workers * plan.memory_bytes > resources.memory_bytes:
        yield (
            f"{name}: {workers} x {plan.memory_bytes / 2**30:.1f} GiB for its workers do not fit "
            f"in Ray's {resources.memory_bytes / 2**30:.1f} GiB: ask for fewer workers."
        )


def _dropped(result: Preflight, matches: Callable[[str], bool]) -> int:
    return sum(count for rule, count in result.data.dropped.items() if matches(rule))
