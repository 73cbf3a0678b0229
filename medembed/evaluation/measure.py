"""Measure queries, scored pairs and must-rank cases in one pass over an embedding table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from medembed.encoding.table import Table, read_shard
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.files import RANKS_KEPT, best_documents
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import Case, CaseOutcome, DocumentId, judge
from medembed.evaluation.questions import Questions, find_measurable
from medembed.evaluation.rank import (
    best_others,
    score_judged,
    score_rankings,
    search_depth,
    without_own,
)
from medembed.evaluation.result import Measured, Scored, join
from medembed.matryoshka import truncate
from medembed.privacy import show_id
from medembed.records import Records
from medembed.search.corpus import Pairs
from medembed.search.float64_scores import Vectors
from medembed.search.lists import Answer
from medembed.search.ranking import Ranking
from medembed.search.shards import search_shards


class MeasuredQuestions(NamedTuple):
    """Metrics of queries with a positive, scored pairs, and what each query found first."""

    queries: Measured | None = None
    pairs: Scored | None = None
    best: Sequence[pa.Table] = ()


def measure_questions(
    asked: Questions,
    table: Table,
    queries: Vectors,
    dimensions: Sequence[int],
    config: EvaluationConfig,
    workers: int,
    records: Records,
) -> MeasuredQuestions:
    """Search the table for all questions, and measure block by block.

    `queries` float32 [asked and more, D] are the embeddings of what is asked, in order. `records`
    keep what a rerun need not search again.
    """
    measured: list[Measured] = []
    best: list[pa.Table] = []
    cosines = {dimension: np.full(len(asked.lines), np.nan) for dimension in dimensions}
    answers = search_shards(
        [(shard, shard["rows"]) for shard in table.shards()],
        read_shard,
        queries[: asked.queries.num_rows],
        search_depth(max(*config.k, RANKS_KEPT), asked.ids),
        dimensions,
        pairs=Pairs(asked.lines, asked.documents),
        by_document=True,
        records=records,
        workers=workers,
    )
    for answer in answers:
        block = asked.within(answer.start, answer.stop)
        rankings = {d: without_own(ranking, block.ids) for d, ranking in answer.rankings.items()}
        answer = replace(answer, rankings=rankings)
        of_block = measure_block(block, answer, config.k)
        if of_block is not None:
            measured.append(of_block)
        best.append(best_documents(answer.rankings, block.ids))
        here = (asked.lines >= answer.start) & (asked.lines < answer.stop)
        for dimension, ranking in answer.pairs.items():
            cosines[dimension][here] = pair_cosines(ranking)
    joined = join(measured) if measured else None
    return MeasuredQuestions(joined, _score_pairs(asked, cosines), best)


def pair_cosines(ranking: Ranking) -> Values:
    """Return the scores [P] of an answer's pairs, NaN where the corpus lacks the document."""
    scores = ranking.scores[:, 0]
    return np.where(np.isfinite(scores), scores, np.nan)


def measure_block(asked: Questions, answer: Answer, depths: Sequence[int]) -> Measured | None:
    """Measure the queries that have a positive; None if there are none."""
    qrels = asked.qrels
    names = asked.ids
    count = asked.queries.num_rows
    lines = find_measurable(list(qrels.values()))
    if not len(lines):
        return None
    ids = [names[line] for line in lines]
    rankings = {dimension: ranking.take(lines) for dimension, ranking in answer.rankings.items()}
    values = score_rankings(rankings, ids, qrels, depths)
    cosines: dict[int, dict[str, Values]] = {}
    weights: dict[str, Values] = {}
    for dimension, ranking in rankings.items():
        judged = pair_cosines(answer.pairs[dimension])
        scored = score_judged(asked.lines, asked.scores, judged, count)
        cosines[dimension] = {
            "positive": scored.positive[lines],
            "negative": scored.negative[lines],
            "other": best_others(ranking, ids, qrels),
        }
        if scored.triplets[lines].any():
            values[dimension]["triplet_accuracy"] = scored.right_share[lines]
            weights["triplet_accuracy"] = scored.triplets[lines]
    return Measured(asked.units(lines, ids), values, weights, cosines)


def judge_cases(
    cases: Sequence[Case],
    queries: Vectors,
    texts: Vectors,
    table: Table,
    dimensions: Sequence[int],
    workers: int,
) -> dict[int, tuple[CaseOutcome, ...]]:
    """Return the outcome of each must-rank case at each dimension.

    queries float32 [cases, D]; texts are the embeddings of those documents that the cases give as
    texts, in order. Raises DataError for a document id that the corpus lacks.
    """
    sides: list[str | DocumentId] = []
    for case in cases:
        sides += case.sides
    owner = np.arange(len(sides)) // 2
    is_named = np.array([isinstance(side, DocumentId) for side in sides])
    ids = [side.id for side in sides if isinstance(side, DocumentId)]
    named: Mapping[int, Values] = {dimension: np.zeros(0) for dimension in dimensions}
    if ids:
        pairs = Pairs(owner[is_named], np.asarray(ids, dtype=np.str_))
        named = _score_named(pairs, queries, table, dimensions, workers)
    above: dict[int, Values] = {}
    below: dict[int, Values] = {}
    for dimension in dimensions:
        cosines = np.empty(len(sides))
        cosines[is_named] = named[dimension]
        if len(texts):
            asked = truncate(queries, dimension)[owner[~is_named]].astype(np.float64)
            cosines[~is_named] = (asked * truncate(texts, dimension)).sum(axis=1)
        above[dimension] = cosines[0::2]
        below[dimension] = cosines[1::2]
    return judge(cases, above, below)


def _score_named(
    pairs: Pairs, queries: Vectors, table: Table, dimensions: Sequence[int], workers: int
) -> dict[int, Values]:
    """Return {dimension: the cosine of each pair}; pairs are in the order of their queries."""
    answers = search_shards(
        [(shard, shard["rows"]) for shard in table.shards()],
        read_shard,
        queries,
        0,
        dimensions,
        pairs=pairs,
        by_document=True,
        workers=workers,
    )
    rankings = [answer.pairs for answer in answers]
    cosines = {}
    for dimension in dimensions:
        cosines[dimension] = np.concatenate(
            [pair_cosines(of_pairs[dimension]) for of_pairs in rankings]
        )
    missing = pairs.documents[np.isnan(cosines[dimensions[0]])]
    if len(missing):
        raise DataError(
            "must_rank: document id {id!r} is not in the corpus; name one that is.",
            id=show_id(str(missing[0])),
        )
    return cosines


def _score_pairs(asked: Questions, cosines: Mapping[int, Values]) -> Scored | None:
    """Return the judged pairs that came with a similarity and whose document the corpus has."""
    similarity = asked.judgments["similarity"].to_numpy().astype(np.float64)
    kept = ~np.isnan(similarity) & ~np.isnan(next(iter(cosines.values())))
    if not kept.any():
        return None
    lines = asked.lines[kept]
    queries = asked.ids
    documents = asked.documents[kept].tolist()
    ids = [f"{queries[line]}\t{name}" for line, name in zip(lines.tolist(), documents, strict=True)]
    return Scored(
        asked.units(lines, ids), similarity[kept], {d: row[kept] for d, row in cosines.items()}
    )
