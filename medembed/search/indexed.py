"""Search by a vector index of the table: a few rows of each query instead of all."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from medembed.schema import document_of
from medembed.search.ranking import Ranking

Hits = list[tuple[list[str], npt.NDArray[np.float32]]]
Nearest = Callable[[npt.NDArray[np.float32], int], Hits]
_MORE = 4


def index_search(
    nearest: Nearest, queries: npt.NDArray[np.float32], k: int, *, by_document: bool = False
) -> Ranking:
    """Return the k best rows of each query [Q, D], or with `by_document` the k documents.

    `nearest(queries, n)` gives n rows of each query, ids and cosines with the best first, or all
    that there are. Each document ranks by its best chunk. Where n rows belong to fewer than k
    documents, four times as many are asked for, until they suffice or there are no more: so chunks
    cost time, but no documents. Ties go to the smaller id, except between the last row given and
    those left out.
    """
    best: list[list[tuple[str, str, float]]] = [[] for _ in range(len(queries))]
    todo = np.arange(len(queries))
    rows = k
    while len(todo):
        short = []
        for line, (names, scores) in zip(todo.tolist(), nearest(queries[todo], rows), strict=True):
            best[line] = _rank(names, scores, by_document)[:k]
            if len(best[line]) < k and len(names) >= rows:
                short.append(line)
        todo = np.array(short, dtype=np.int64)
        rows *= _MORE
    return _to_ranking(best, k, has_rows=by_document)


def _rank(
    names: Sequence[str], scores: npt.NDArray[np.float32], by_document: bool
) -> list[tuple[str, str, float]]:
    """Return (id, row id, cosine) by each document's best row, best first; ties to smaller ids."""
    best: dict[str, tuple[str, float]] = {}
    for score, name in sorted(zip((-scores).tolist(), names, strict=True)):
        best.setdefault(document_of(name) if by_document else name, (name, -score))
    hits = [(name, row, score) for name, (row, score) in best.items()]
    return sorted(hits, key=lambda hit: (-hit[2], hit[0]))


def _to_ranking(
    best: Sequence[Sequence[tuple[str, str, float]]], k: int, *, has_rows: bool
) -> Ranking:
    ids = []
    rows = []
    scores = []
    for of_query in best:
        missing = k - len(of_query)
        ids.append([name for name, _, _ in of_query] + [""] * missing)
        rows.append([row for _, row, _ in of_query] + [""] * missing)
        scores.append([score for _, _, score in of_query] + [-np.inf] * missing)
    shape = (len(best), k)
    row_ids = np.array(rows, np.str_).reshape(shape) if has_rows else None
    return Ranking.of(
        np.array(ids, np.str_).reshape(shape), np.array(scores).reshape(shape), row_ids
    )
