"""Say whether fine-tuning is worth it, from counts and a sample, before it costs anything."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import Pair, select_pairs
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
from medembed.preflight.quality import Survey, survey
from medembed.preflight.queries import QuerySample, choose_queries, find_positives
from medembed.preflight.resources import Resources, check_fit, find_resources
from medembed.preflight.sample import CorpusSample, make_examples, read_corpus
from medembed.preflight.train_probe import TrainCost, probe_training
from medembed.preflight.verdict import Verdict, decide
from medembed.training.config import TrainingConfig

logger = logging.getLogger(__name__)

_USUAL_LENGTHS = (128, 256, 512)


@dataclass(frozen=True)
class SampleFacts:
    """How much was looked at: documents, those of them that a hash drew, queries and their groups.

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
    survey: Survey | None  # None where no query measures the model
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
    """Count the data set, encode a sample and make a few training steps.

    Raises ConfigError if Ray has no room for one worker.
    """
    resources = find_resources()
    encoders = _check_room(resources, encoding, training)
    rows = dataset.queries().to_pylist()
    qrels = dataset.qrels()
    pairs = select_pairs(dataset, mining.model_copy(update={"max_pairs": None}))
    data = count_data(dataset, rows, qrels, pairs, mining.max_pairs)
    measuring = [row for row in rows if row["split"] == config.split]
    languages = dataset.languages_of(find_positives(measuring, qrels))
    queries = choose_queries(measuring, qrels, languages, config)

    timed = pairs[: min(data.examples, training.batch_size * (config.train_steps + 1))]
    judged = set().union(*queries.positives)
    needed = {pair.positive_id for pair in timed}
    corpus = read_corpus(dataset, judged, needed, config.sample_documents)
    probe = probe_encoding(queries.texts, corpus.texts, model, encoders, encoding)
    own_length = probe.encoded.max_length
    width = probe.encoded.documents.shape[1]
    served = _without_wider(training, width)
    surveyed = survey(probe.encoded, queries, corpus, served.dimensions) if queries.ids else None

    steps = _time_training(timed, corpus, model, config, mining, served)
    weights = row_weights(corpus)
    lengths = sorted({own_length, *_USUAL_LENGTHS, training.max_length or own_length})
    return Preflight(
        verdict=decide(data.pairs, surveyed, config.split),
        data=data,
        sample=_describe_sample(queries, corpus, config.split),
        own_length=own_length,
        typical_length=typical_length(probe.lengths, weights),
        width=width,
        survey=surveyed,
        cuts=tuple(measure_cut(probe.lengths, weights, length) for length in lengths),
        encode=plan_encoding(probe.cost, probe.lengths, weights, own_length, encoders, encoding),
        train=plan_training(steps, data.examples, mining, training),
        resources=resources,
    )


def _check_room(resources: Resources, encoding: EncodingConfig, training: TrainingConfig) -> int:
    """Return how many encoding workers have room. Raises ConfigError if a kind has none."""
    workers = training.most_workers
    check_fit("training", resources, workers, training.cpus_per_worker, int(training.use_gpu))
    workers = encoding.most_workers
    gpus = encoding.gpus_per_worker
    return check_fit("encoding", resources, workers, encoding.cpus_per_worker, gpus)


def _describe_sample(queries: QuerySample, corpus: CorpusSample, split: str) -> SampleFacts:
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


def _without_wider(training: TrainingConfig, width: int) -> TrainingConfig:
    """Leave out dimensions above the model's width, which training would refuse."""
    weights = training.weights or (1.0,) * len(training.dimensions)
    weight_of = dict(zip(training.dimensions, weights, strict=True))
    kept = {of: weight for of, weight in weight_of.items() if of <= width} or {width: 1.0}
    update = {"dimensions": tuple(kept), "weights": tuple(kept.values())}
    return training.model_copy(update=update)


def _time_training(
    pairs: Sequence[Pair],
    corpus: CorpusSample,
    model: str,
    config: PreflightConfig,
    mining: MiningConfig,
    training: TrainingConfig,
) -> TrainCost | None:
    if not training.loss.traits.ranks:
        logger.info(
            tr(
                "train: not timed: only steps of a ranking loss are, and {loss} is not one",
                loss=training.loss.name,
            )
        )
        return None
    examples = make_examples(pairs, corpus, mining.negatives)
    if not examples:
        logger.info(tr("train: nothing to time, there is no training pair"))
        return None
    return probe_training(examples, model, config.train_steps, training)
