"""Exact top-k by blocks with a running best list, ordered by (score, document id)."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

_BLOCK = 1024  # documents in one multiply: queries x block scores are all that is in memory


@dataclass(frozen=True)
class Ranking:
    """Best documents of each query, best first: ids [Q, k] (strings), scores float32 [Q, k].

    Fewer than k documents leave columns that have score -inf and id "".
    """

    ids: npt.NDArray[np.str_]
    scores: npt.NDArray[np.float32]


def top_k(
    queries: npt.NDArray[np.float32], ids: npt.NDArray[np.str_], documents: npt.NDArray[np.float32], k: int
) -> Ranking:
    """The k documents with the highest dot product per query; ties go to the smaller document id.

    queries [Q, D] and documents [N, D] have unit rows; ids [N]. Blocks have a fixed size, so that the
    scores of one table do not depend on who computes them.
    """
    parts = [
        _select(np.broadcast_to(ids[start : start + _BLOCK], (len(queries), len(block))), queries @ block.T, k)
        for start in range(0, len(documents), _BLOCK)
        for block in [documents[start : start + _BLOCK]]
    ]
    return reduce(lambda best, part: merge(best, part, k), parts) if parts else _empty(len(queries), k)


def merge(one: Ranking, other: Ranking, k: int) -> Ranking:
    """The k best of two rankings of the same queries."""
    return _select(np.concatenate([one.ids, other.ids], axis=1), np.concatenate([one.scores, other.scores], axis=1), k)


def _select(ids: npt.NDArray[np.str_], scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """Sorts by (score down, id up) and cuts at k. Everything equal to the k-th score takes part in the sort."""
    count = scores.shape[1]
    best_ids, best_scores = _empty(len(scores), k, ids.dtype).ids, _empty(len(scores), k).scores
    kept = min(k, count)
    thresholds = np.partition(scores, count - kept, axis=1)[:, count - kept] if kept else np.zeros(len(scores))
    for row in range(len(scores)):
        (candidates,) = np.nonzero(scores[row] >= thresholds[row])
        order = np.lexsort((ids[row, candidates], -scores[row, candidates]))[:kept]
        best_ids[row, :kept] = ids[row, candidates[order]]
        best_scores[row, :kept] = scores[row, candidates[order]]
    return Ranking(best_ids, best_scores)


def _empty(rows: int, k: int, dtype: np.dtype[np.str_] | None = None) -> Ranking:
    ids = np.full((rows, k), "", dtype=dtype if dtype is not None else "<U1")
    return Ranking(ids, np.full((rows, k), -np.inf, dtype=np.float32))
