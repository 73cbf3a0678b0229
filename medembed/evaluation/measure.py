"""One pass over an embedding table -> metrics of queries, cosines of scored pairs, outcomes of must-rank cases."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.encoding.table import Table, read_shard
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.files import RANKS_KEPT, best_documents
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import Case, DocumentId, Outcome, judge
from medembed.evaluation.questions import Questions, find_measurable
from medembed.evaluation.rank import best_others, score_judged, score_rankings
from medembed.evaluation.result import Measured, Scored, join
from medembed.matryoshka import truncate
from medembed.privacy import show_id
from medembed.search.sharded import Pairs, Scan, scan_shards
from medembed.search.topk import Ranking

Vectors = npt.NDArray[np.float32]
_RANKED_PER_PASS = 1 << 19  # queries x depth: bounds what worker and driver hold of best lists


def measure_questions(
    asked: Questions,
    table: Table,
    queries: Vectors,
    dimensions: Sequence[int],
    config: EvaluationConfig,
    workers: int,
) -> tuple[Measured | None, Scored | None, list[pa.Table]]:
    """(metrics of the queries that have a positive, the scored pairs, what each query found first).

    `queries` float32 [asked and more, D] are the embeddings of what is asked, in order.
    """
    measured: list[Measured] = []
    cosines: list[Mapping[int, Values]] = []
    best: list[pa.Table] = []
    start, depth = 0, max(*config.k, RANKS_KEPT)
    for block in asked.blocks(_RANKED_PER_PASS // depth):
        rows, pairs = block.queries.num_rows, Pairs(block.lines, block.documents)
        scan = scan_shards(
            [(shard, shard["rows"]) for shard in table.shards()], read_shard, queries[start : start + rows], depth,
            dimensions, pairs=pairs, by_document=True, workers=workers,
        )  # fmt: skip
        measured += measure_block(block, scan, config.k)
        best += best_documents(scan.rankings, block.ids)
        cosines.append(scan.cosines)
        start += rows
    every = {dimension: np.concatenate([part[dimension] for part in cosines]) for dimension in dimensions}
    return join(measured) if measured else None, _score_pairs(asked, every), best


def measure_block(asked: Questions, scan: Scan, depths: Sequence[int]) -> list[Measured]:
    """The metrics of the queries that have a positive, if there are any."""
    qrels, names, count = asked.qrels, asked.ids, asked.queries.num_rows
    lines = find_measurable(list(qrels.values()))
    if not len(lines):
        return []
    ids = [names[line] for line in lines]
    rankings = {
        dimension: Ranking(ranking.ids[lines], ranking.scores[lines]) for dimension, ranking in scan.rankings.items()
    }
    values = score_rankings(rankings, ids, qrels, depths)
    cosines: dict[int, dict[str, Values]] = {}
    weights: dict[str, Values] = {}
    for dimension, ranking in rankings.items():
        best, share, triplets = score_judged(asked.lines, asked.scores, scan.cosines[dimension], count)
        best["other"] = np.full(count, np.nan)
        best["other"][lines] = best_others(ranking, ids, qrels)
        cosines[dimension] = {name: row[lines] for name, row in best.items()}
        if triplets[lines].any():
            values[dimension]["triplet_accuracy"] = share[lines]
            weights["triplet_accuracy"] = triplets[lines]
    return [Measured(asked.units(lines, ids), values, weights, cosines)]


def judge_cases(
    cases: Sequence[Case], queries: Vectors, texts: Vectors, table: Table, dimensions: Sequence[int], workers: int
) -> dict[int, tuple[Outcome, ...]]:
    """The outcome of each must-rank case at each dimension.

    queries float32 [cases, D]; texts are the embeddings of those documents that the cases give as texts, in order.
    Raises DataError for a document id that the corpus lacks.
    """
    sides = [side for case in cases for side in (case.above, case.below)]
    owner = np.arange(len(sides)) // 2
    is_named = np.array([isinstance(side, DocumentId) for side in sides])
    names = np.asarray([side.id for side in sides if isinstance(side, DocumentId)], dtype=np.str_)
    named: Mapping[int, Values] = {}
    if len(names):
        shards = [(shard, shard["rows"]) for shard in table.shards()]
        pairs = Pairs(owner[is_named], names)
        named = scan_shards(
            shards, read_shard, queries, 1, dimensions, pairs=pairs, by_document=True, workers=workers
        ).cosines
        missing = names[np.isnan(named[dimensions[0]])]
        if len(missing):
            raise DataError(
                f"must_rank: document id {show_id(str(missing[0]))!r} is not in the corpus; name one that is."
            )
    above: dict[int, Values] = {}
    below: dict[int, Values] = {}
    for dimension in dimensions:
        cosines = np.empty(len(sides))
        asked = truncate(queries, dimension)[owner[~is_named]].astype(np.float64)
        cosines[~is_named] = (asked * truncate(texts, dimension)).sum(axis=1) if len(asked) else []
        cosines[is_named] = named[dimension] if len(names) else []
        above[dimension], below[dimension] = cosines[0::2], cosines[1::2]
    return judge(cases, above, below)


def _score_pairs(asked: Questions, cosines: Mapping[int, Values]) -> Scored | None:
    """The judged pairs that came with a similarity and whose document the corpus has."""
    similarity = asked.judgments["similarity"].to_numpy().astype(np.float64)
    kept = ~np.isnan(similarity) & ~np.isnan(next(iter(cosines.values())))
    if not kept.any():
        return None
    lines = asked.lines[kept]
    queries, documents = asked.ids, asked.documents[kept].tolist()
    ids = [f"{queries[line]}\t{name}" for line, name in zip(lines.tolist(), documents, strict=True)]
    return Scored(asked.units(lines, ids), similarity[kept], {d: row[kept] for d, row in cosines.items()})
