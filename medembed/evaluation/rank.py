"""Score ranked documents by judgments: metrics and cosines of each query. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.evaluation.metrics import Values, measure, negative_accuracy, triplet_accuracy
from medembed.schema import own_document
from medembed.search.ranking import Ranking

# {query_id: {document_id: score}}; 0 is judged not relevant
Qrels = Mapping[str, Mapping[str, float]]


def search_depth(depth: int, query_ids: Sequence[str]) -> int:
    """Return how many documents to find for these queries, so that `without_own` leaves `depth`."""
    return depth + any(own_document(name) is not None for name in query_ids)


def without_own(ranking: Ranking, query_ids: Sequence[str]) -> Ranking:
    """Return the ranking [Q, k - 1] without the queries' own texts, or the last place of others.

    A ranking [Q, k] for queries that are no documents stays as it is.
    """
    own = np.asarray([own_document(name) or "" for name in query_ids], dtype=np.str_)
    if not (own != "").any():
        return ranking
    is_own = (ranking.ids == own[:, None]) & (own != "")[:, None]
    order = np.argsort(is_own, axis=1, kind="stable")[:, :-1]
    places = np.take_along_axis(ranking.places, order, axis=1)
    scores = np.take_along_axis(ranking.scores, order, axis=1)
    return replace(ranking, places=places, scores=scores)


def score_rankings(
    rankings: Mapping[int, Ranking], query_ids: Sequence[str], qrels: Qrels, depths: Sequence[int]
) -> dict[int, dict[str, Values]]:
    """Return {dimension: {metric: a value per query}}; each query has a positive.

    `negative_accuracy@k` is there if any query has a document judged not relevant, NaN for those
    that have none.
    """
    judged = [[grade for grade in qrels[query_id].values() if grade > 0] for query_id in query_ids]
    has_negative = np.array(
        [any(grade <= 0 for grade in qrels[query_id].values()) for query_id in query_ids]
    )
    scored: dict[int, dict[str, Values]] = {}
    for dimension, ranking in sorted(rankings.items(), reverse=True):
        grades = _grades(ranking, query_ids, qrels)
        values = measure(np.maximum(np.nan_to_num(grades), 0.0), judged, depths)
        if has_negative.any():
            for k in depths:
                accuracy = negative_accuracy(grades <= 0, k)
                values[f"negative_accuracy@{k}"] = np.where(has_negative, accuracy, np.nan)
        scored[dimension] = values
    return scored


class JudgedScores(NamedTuple):
    """Cosines of each query's best positive and best judged negative [Q], and its triplets.

    `right_share` [Q] is the share of right ones, `triplets` [Q] how many.
    """

    positive: Values
    negative: Values
    right_share: Values
    triplets: Values


def score_judged(
    lines: npt.NDArray[np.int64], scores: Values, cosines: Values, queries: int
) -> JudgedScores:
    """Score the judged documents of each query against each other.

    `lines` [P] are the judgments' queries by position, `scores` and `cosines` [P] theirs; a judged
    document that the corpus lacks has cosine NaN and does not count.
    """
    known = ~np.isnan(cosines)
    best = []
    of_query: list[list[Values]] = []
    for kept in (known & (scores > 0), known & (scores <= 0)):
        best.append(np.full(queries, np.nan))
        np.fmax.at(best[-1], lines[kept], cosines[kept])
        order = np.argsort(lines[kept], kind="stable")
        ends = np.cumsum(np.bincount(lines[kept], minlength=queries))[:-1]
        of_query.append(np.split(cosines[kept][order], ends))
    positive, negative = best
    triplets = triplet_accuracy(*of_query)
    return JudgedScores(positive, negative, triplets.right_share, triplets.triplets)


def best_others(ranking: Ranking, query_ids: Sequence[str], qrels: Qrels) -> Values:
    """Return the score of each query's best document that is no positive [Q]; NaN if all are."""
    grades = np.nan_to_num(_grades(ranking, query_ids, qrels))
    is_other = (grades <= 0) & np.isfinite(ranking.scores)
    first = is_other.argmax(axis=1)[:, None]
    scores = np.take_along_axis(ranking.scores, first, axis=1)[:, 0]
    return np.where(is_other.any(axis=1), scores, np.nan).astype(np.float64)


def _grades(ranking: Ranking, query_ids: Sequence[str], qrels: Qrels) -> Values:
    """Return the judged score of the document at each rank [Q, k], NaN where none is judged."""
    rows = []
    for query_id, names in zip(query_ids, ranking.ids.tolist(), strict=True):
        rows.append([qrels[query_id].get(name, np.nan) for name in names])
    return np.array(rows, dtype=np.float64).reshape(len(query_ids), -1)
