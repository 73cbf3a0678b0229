"""Exact top-k by blocks with a running best list, ordered by (score, id), of rows or of the documents they belong to.

A document scores as its best chunk does (MaxP; Dai and Callan 2019, arXiv:1905.09217). Cutting lists of documents
at k and merging them stays exact: before a document's best score stand only documents that beat it in the whole
corpus too, so that it is cut only if k of them do; its lower scores fall out beside the best one.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from medembed.schema import CHUNK_MARK, document_of

_BLOCK = 1024  # rows in one multiply: queries x block scores are all that is in memory


@dataclass(frozen=True)
class Ranking:
    """Best rows or documents of each query, best first: ids [Q, k] (strings), scores float32 [Q, k].

    Fewer than k leave columns that have score -inf and id "". `rows` [Q, k] is set where documents of several
    rows are ranked: the row that gave the score.
    """

    ids: npt.NDArray[np.str_]
    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.str_] | None = None

    @property
    def row_ids(self) -> npt.NDArray[np.str_]:
        """The corpus rows that gave the scores [Q, k]: `ids` themselves, unless documents are in chunks."""
        return self.ids if self.rows is None else self.rows


def top_k(
    queries: npt.NDArray[np.float32],
    ids: npt.NDArray[np.str_],
    vectors: npt.NDArray[np.float32],
    k: int,
    *,
    by_document: bool = False,
) -> Ranking:
    """The k rows with the highest dot product per query, or with `by_document` the k documents; ties to smaller ids.

    queries [Q, D] and vectors [N, D] have unit rows; ids [N]. Blocks have a fixed size, so that the
    scores of one table do not depend on who computes them.
    """
    owners = _owners(ids) if by_document else None
    parts = [
        _rank_block(queries @ vectors[block].T, ids[block], None if owners is None else owners[block], k)
        for start in range(0, len(vectors), _BLOCK)
        for block in [slice(start, start + _BLOCK)]
    ]
    return reduce(lambda best, part: merge(best, part, k), parts) if parts else _empty(len(queries), k)


def merge(one: Ranking, other: Ranking, k: int) -> Ranking:
    """The k best of two rankings of the same queries; a document that both name keeps its better row."""
    ids = np.concatenate([one.ids, other.ids], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    if one.rows is None and other.rows is None:
        return _select(ids, scores, k)
    rows = np.concatenate([one.row_ids, other.row_ids], axis=1)
    return _select_documents(ids, rows, scores, np.full(len(scores), -np.inf), k)


def _owners(ids: npt.NDArray[np.str_]) -> npt.NDArray[np.str_] | None:
    """Each row's document [N], or None if all rows are whole documents."""
    if not (np.char.find(ids, CHUNK_MARK) >= 0).any():
        return None
    return np.asarray([document_of(name) for name in ids.tolist()], dtype=np.str_)


def _rank_block(
    scores: npt.NDArray[np.float32], ids: npt.NDArray[np.str_], owners: npt.NDArray[np.str_] | None, k: int
) -> Ranking:
    if owners is None:
        return _select(np.broadcast_to(ids, scores.shape), scores, k)
    order = np.argsort(owners)
    starts = np.flatnonzero(np.concatenate([[True], owners[order][1:] != owners[order][:-1]]))
    thresholds = _kth_best(np.maximum.reduceat(scores[:, order], starts, axis=1), k)
    return _select_documents(
        np.broadcast_to(owners, scores.shape), np.broadcast_to(ids, scores.shape), scores, thresholds, k
    )


def _select(ids: npt.NDArray[np.str_], scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """Sorts by (score down, id up) and cuts at k. Everything equal to the k-th score takes part in the sort."""
    best = _empty(len(scores), k, ids.dtype)
    thresholds = _kth_best(scores, k)
    kept = min(k, scores.shape[1])
    for row in range(len(scores)):
        (candidates,) = np.nonzero(scores[row] >= thresholds[row])
        order = np.lexsort((ids[row, candidates], -scores[row, candidates]))[:kept]
        best.ids[row, :kept] = ids[row, candidates[order]]
        best.scores[row, :kept] = scores[row, candidates[order]]
    return best


def _select_documents(
    ids: npt.NDArray[np.str_],
    rows: npt.NDArray[np.str_],
    scores: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.floating],
    k: int,
) -> Ranking:
    """As `_select`, for ids that repeat: of each only the first by (score down, row up). All arrays [Q, n].

    `thresholds` [Q] may not be above the k-th best document's score.
    """
    best = _empty(len(scores), k, ids.dtype)
    best_rows = _empty(len(scores), k, rows.dtype).ids
    for row in range(len(scores)):
        (candidates,) = np.nonzero(scores[row] >= thresholds[row])
        order = candidates[np.lexsort((rows[row, candidates], ids[row, candidates], -scores[row, candidates]))]
        _, first = np.unique(ids[row, order], return_index=True)
        order = order[np.sort(first)[:k]]
        best.ids[row, : len(order)] = ids[row, order]
        best.scores[row, : len(order)] = scores[row, order]
        best_rows[row, : len(order)] = rows[row, order]
    return Ranking(best.ids, best.scores, best_rows)


def _kth_best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.floating]:
    """The k-th highest score of each row [Q], or the lowest if there are fewer."""
    count = scores.shape[1]
    kept = min(k, count)
    return np.partition(scores, count - kept, axis=1)[:, count - kept] if kept else np.zeros(len(scores))


def _empty(rows: int, k: int, dtype: np.dtype[np.str_] | None = None) -> Ranking:
    ids = np.full((rows, k), "", dtype=dtype if dtype is not None else "<U1")
    return Ranking(ids, np.full((rows, k), -np.inf, dtype=np.float32))
