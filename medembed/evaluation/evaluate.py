"""Measure a model on a data set at every dimension, in one pass over its table, and keep it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table
from medembed.encoding.texts import encode_texts
from medembed.errors import DataError
from medembed.evaluation.bm25 import bm25_fingerprint, rank_bm25
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.files import RANKS_KEPT, best_documents, read_evaluation, write_evaluation
from medembed.evaluation.knn import Labelled, classify, find_labelled
from medembed.evaluation.measure import MeasuredQuestions, judge_cases, measure_questions
from medembed.evaluation.metrics import identify_metrics
from medembed.evaluation.must_rank import Case, load_cases
from medembed.evaluation.questions import Questions, find_measurable, find_questions
from medembed.evaluation.rank import score_rankings, search_depth, without_own
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured
from medembed.language import tr
from medembed.lineage import EvaluationManifest, Origin
from medembed.matryoshka import check_dimensions
from medembed.records import Records
from medembed.schema import fingerprint

logger = logging.getLogger(__name__)

BM25 = "bm25"
# change nothing that is measured
_UNUSED = {"dimensions", "must_rank", "bootstrap_samples", "seed", "show_text"}


class Request(NamedTuple):
    """What is measured of which model, on which data."""

    dataset: Dataset
    table: Table
    model: str
    config: EvaluationConfig
    encoding: EncodingConfig
    cases: tuple[Case, ...]
    dimensions: tuple[int, ...]

    @property
    def key(self) -> str:
        """The fingerprint of all that decides the result."""
        return fingerprint(
            [
                identify_metrics(),
                self.dataset.fingerprint,
                self.table.info.encoder,
                self.config.model_dump(exclude=_UNUSED),
                self.dimensions,
                [case.model_dump() for case in self.cases],
            ]
        )


def evaluate(
    dataset: Dataset,
    table: Table,
    model: str,
    output: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
    *,
    name: str | None = None,
) -> Evaluation:
    """Rank the corpus for each query, score judged pairs and classify labelled texts.

    The same evaluation is found again. Queries without a positive are not ranked for, and counted.
    What a run finishes lies in `<output>.run-<key>` until the end, where the same call finds it
    after any death. Raises DataError if there is nothing to measure, ModelError for a dimension
    above the table's width.
    """
    asked = config.dimensions or table.info.dimensions or (table.info.width,)
    dimensions = tuple(sorted(set(asked), reverse=True))
    check_dimensions(dimensions, table.info.width)
    cases = load_cases(config.must_rank)
    request = Request(dataset, table, model, config, encoding, cases, dimensions)
    output = place(output, request.key)
    records = Records.of_output(storage.absolute(output), request.key)
    if find_output(output, EvaluationManifest, request.key) is not None:
        _log_reused(request.key)
        result = read_evaluation(output, name or model)
    else:
        result = _measure(request, Evaluation(name or model, output, table.info.encoder), records)
    records.clear()
    return result


def _measure(request: Request, empty: Evaluation, records: Records) -> Evaluation:
    """Fill the empty evaluation, and write it."""
    dataset, table, model, config, encoding, cases, dimensions = request
    questions, labelled = _find_units(dataset, config)
    texts: list[str] = []
    for case in cases:
        texts += [side for side in case.sides if isinstance(side, str)]
    queries = [*questions.queries["text"].to_pylist(), *(case.query for case in cases)]
    vectors = encode_texts({"query": queries, "document": texts}, model, encoding)
    workers = encoding.most_workers

    measured = MeasuredQuestions()
    if questions.queries.num_rows:
        measured = measure_questions(
            questions, table, vectors["query"], dimensions, config, workers, records
        )
    outcomes = {}
    if cases:
        of_cases = vectors["query"][questions.queries.num_rows :]
        outcomes = judge_cases(cases, of_cases, vectors["document"], table, dimensions, workers)
    documents = None
    if labelled is not None:
        documents = classify(table, labelled, dimensions, config.neighbours, workers)
    result = replace(
        empty,
        queries=measured.queries,
        documents=documents,
        pairs=measured.pairs,
        must_rank=outcomes,
    )
    origin = Origin(dataset=dataset.as_source, table=table.as_source)
    _write(result, request.key, measured.best, origin, config)
    return result


def evaluate_bm25(dataset: Dataset, output: str, config: EvaluationConfig) -> Evaluation:
    """Measure BM25 on the same queries, as the floor: its only dimension is NO_VECTORS.

    Raises DataError if no query has a positive.
    """
    settings = config.model_dump(exclude=_UNUSED)
    key = fingerprint([identify_metrics(), dataset.fingerprint, bm25_fingerprint(), settings])
    output = place(output, key)
    if find_output(output, EvaluationManifest, key) is not None:
        _log_reused(key)
        return read_evaluation(output, BM25)
    questions = find_questions(dataset, config)
    qrels = questions.qrels
    lines = find_measurable(list(qrels.values()))
    if not len(lines):
        raise DataError(
            "{reason} BM25 ranks documents for queries, nothing else.",
            reason=_explain_nothing(dataset, config),
        )
    texts = questions.queries["text"].take(pa.array(lines)).to_pylist()
    documents = dataset.manifest.document_count
    logger.info(
        tr(
            "BM25: {queries} queries, {documents} documents",
            queries=len(texts),
            documents=documents,
        )
    )
    names = questions.ids
    ids = [names[line] for line in lines]
    depth = search_depth(max(*config.k, RANKS_KEPT), ids)
    rankings = {NO_VECTORS: without_own(rank_bm25(dataset.corpus_files(), texts, depth), ids)}
    values = score_rankings(rankings, ids, qrels, config.k)
    measured = Measured(questions.units(lines, ids), values, {}, {})
    result = Evaluation(BM25, output, bm25_fingerprint(), measured)
    origin = Origin(dataset=dataset.as_source)
    _write(result, key, [best_documents(rankings, ids)], origin, config)
    return result


def check_measurable(dataset: Dataset, config: EvaluationConfig) -> bool:
    """Return whether any query has a positive. Raises DataError if nothing can be measured."""
    questions, _ = _find_units(dataset, config)
    return bool((questions.scores > 0).any())


def _find_units(dataset: Dataset, config: EvaluationConfig) -> tuple[Questions, Labelled | None]:
    """Return the queries and the labelled texts to measure. Raises DataError without either."""
    questions = find_questions(dataset, config)
    labelled = None if config.tag else find_labelled(dataset, config.split)  # tags are queries'
    if not questions.queries.num_rows and labelled is None:
        raise DataError(_explain_nothing(dataset, config))
    return questions, labelled


def _write(
    result: Evaluation,
    key: str,
    best: Sequence[pa.Table],
    origin: Origin,
    config: EvaluationConfig,
) -> None:
    with NewOutput(result.uri, key) as target:
        write_evaluation(target, result, best)
        target.commit(
            EvaluationManifest(origin=origin, encoder=result.encoder, config=config.model_dump())
        )


def _log_reused(key: str) -> None:
    logger.info(tr("evaluation {key}: unchanged, reused", key=key))


def _explain_nothing(dataset: Dataset, config: EvaluationConfig) -> str:
    return tr(
        "{uri}: with split={split} and tag={tag} no query has a positive or a scored pair, and no "
        "text has a class; nothing to measure.",
        uri=dataset.uri,
        split=config.split,
        tag=config.tag,
    )
