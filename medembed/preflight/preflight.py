"""Looks at a data set and a base model before anything is spent on them: counts, measures a sample,
decides.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.modules import fetch_encoder
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import Pair
from medembed.preflight.config import PreflightConfig
from medembed.preflight.encode_probe import probe_encoding
from medembed.preflight.facts import DataFacts, count_data
from medembed.preflight.plan import (
    Cut,
    EncodePlan,
    TrainPlan,
    measure_cut,
    plan_encoding,
    plan_training,
    row_weights,
    typical_length,
)
from medembed.preflight.positions import check_lengths
from medembed.preflight.quality import Quality, Survey, measure_quality, survey
from medembed.preflight.queries import Queries, choose_queries, find_positives
from medembed.preflight.resources import Resources, check_fit, find_resources
from medembed.preflight.sample import Corpus, make_examples, read_corpus, read_languages
from medembed.preflight.train_probe import TrainCost, probe_training
from medembed.preflight.verdict import Verdict, decide
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import RANKING

logger = logging.getLogger(__name__)

_USUAL_LENGTHS = (128, 256, 512)


@dataclass(frozen=True)
class SampleFacts:
    """What was looked at: documents of how many, of them those that a hash drew, and queries with
    their groups.

    Queries that were added for a slice alone do not count.
    """

    split: str
    queries: int
    groups: int
    are_weak: bool
    documents: int
    drawn: int
    all_documents: int
    all_rows: int  # a document in chunks has several
    labelled_rows: int


@dataclass(frozen=True)
class Preflight:
    """All that was found out. Counts and measures, no text."""

    verdict: Verdict
    data: DataFacts
    sample: SampleFacts
    own_length: int
    typical_length: int  # tokens that 95% of the rows do not exceed
    width: int
    # at the model's own length first; empty where no query measures it
    quality: tuple[Quality, ...]
    survey: Survey | None  # at the model's own length
    cuts: tuple[Cut, ...]
    encode: EncodePlan
    train: TrainPlan
    resources: Resources


def preflight(
    dataset: Dataset,
    model: str,
    config: PreflightConfig,
    encoding: EncodingConfig,
    mining: MiningConfig,
    training: TrainingConfig,
) -> Preflight:
    """Counts the data set, encodes a sample and makes a few training steps on the resources at
    hand.

    Raises ConfigError if Ray has no room for one worker, or for a length that is more than the
    model reads.
    """
    resources = find_resources()
    most, cpus = encoding.most_workers, encoding.cpus_per_worker
    encoders = check_fit("encoding", resources, most, cpus, encoding.gpus_per_worker)
    check_fit(
        "training",
        resources,
        training.most_workers,
        training.cpus_per_worker,
        int(training.use_gpu),
    )
    check_lengths(fetch_encoder(model), config.max_lengths)
    rows, qrels = dataset.queries().to_pylist(), dataset.qrels()
    data, pairs = count_data(dataset, rows, qrels, mining)
    queries = _draw_queries(dataset, rows, qrels, config)
    timed = pairs[: training.batch_size * (config.train_steps + 1)]
    judged = {name for grades in queries.positives for name in grades}
    corpus = read_corpus(
        dataset, judged, {pair.positive_id for pair in timed}, config.sample_documents
    )
    texts = [text for _, text in (*corpus.forced, *corpus.drawn)]
    probe = probe_encoding(queries.texts, texts, model, config.max_lengths, encoders, encoding)
    own, width = probe.encoded[0].max_length, probe.encoded[0].documents.shape[1]
    quality = (
        tuple(measure_quality(encoded, queries, corpus) for encoded in probe.encoded)
        if queries.ids
        else ()
    )
    served = _clip(training, width)
    surveyed = survey(probe.encoded[0], queries, corpus, served.dimensions) if queries.ids else None
    steps = _time_training(timed, corpus, model, config, mining, served)
    weights = row_weights(corpus)
    cuts = [
        measure_cut(probe.lengths, weights, length) for length in _lengths(own, config, training)
    ]
    return Preflight(
        decide(data.pairs, surveyed, config.split),
        data,
        _describe_sample(queries, corpus, config.split),
        own,
        typical_length(probe.lengths, weights),
        width,
        quality,
        surveyed,
        tuple(cuts),
        plan_encoding(probe.cost, probe.lengths, weights, own, encoders, encoding),
        plan_training(steps, data.examples, mining, training),
        resources,
    )


def _draw_queries(
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    qrels: dict[str, dict[str, float]],
    config: PreflightConfig,
) -> Queries:
    """The queries of the split that measure; `rows` are all queries."""
    measuring = [row for row in rows if row["split"] == config.split]
    languages = read_languages(dataset, find_positives(measuring, qrels))
    return choose_queries(measuring, qrels, languages, config)


def _describe_sample(queries: Queries, corpus: Corpus, split: str) -> SampleFacts:
    return SampleFacts(
        split=split,
        queries=queries.core,
        groups=len(set(queries.groups[: queries.core])),
        are_weak=queries.are_weak,
        documents=corpus.documents - corpus.unseen,
        drawn=corpus.drawn_documents,
        all_documents=corpus.documents,
        all_rows=corpus.rows,
        labelled_rows=corpus.labelled,
    )


def _lengths(own: int, config: PreflightConfig, training: TrainingConfig) -> list[int]:
    return sorted({own, *_USUAL_LENGTHS, *config.max_lengths, training.max_length or own})


def _clip(training: TrainingConfig, width: int) -> TrainingConfig:
    """The config without dimensions above the model's width; training would refuse them, timing
    need not.
    """
    weights = training.weights or (1.0,) * len(training.dimensions)
    kept = [
        pair for pair in zip(training.dimensions, weights, strict=True) if pair[0] <= width
    ] or [(width, 1.0)]
    dimensions, weights = zip(*kept, strict=True)
    return training.model_copy(update={"dimensions": dimensions, "weights": weights})


def _time_training(
    pairs: Sequence[Pair],
    corpus: Corpus,
    model: str,
    config: PreflightConfig,
    mining: MiningConfig,
    training: TrainingConfig,
) -> TrainCost | None:
    if training.loss.name != RANKING:
        logger.info(
            "train: not timed: loss %s is no ranking loss, whose steps alone are timed",
            training.loss.name,
        )
        return None
    examples = make_examples(pairs, corpus, mining.negatives)
    if not examples:
        logger.info("train: nothing to time, there is no training pair")
        return None
    return probe_training(examples, model, config.train_steps, training)
