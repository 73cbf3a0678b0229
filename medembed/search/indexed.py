"""Search by a vector index of the table: a few rows of each query instead of all."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.schema import document_of
from medembed.search.ranking import Ranking

Hits = list[tuple[list[str], npt.NDArray[np.float32]]]
Nearest = Callable[[npt.NDArray[np.float32], int], Hits]
_MORE = 4


class _Hit(NamedTuple):
    """A document or a row of a query, and the row that gave its cosine."""

    id: str
    row_id: str
    cosine: float


_NOTHING = _Hit("", "", -np.inf)


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
    best: list[list[_Hit]] = [[] for _ in range(len(queries))]
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


def _rank(names: Sequence[str], scores: npt.NDArray[np.float32], by_document: bool) -> list[_Hit]:
    """Return what each document's best row gives, best first; ties to smaller ids."""
    best: dict[str, _Hit] = {}
    for score, name in sorted(zip((-scores).tolist(), names, strict=True)):
        owner = document_of(name) if by_document else name
        best.setdefault(owner, _Hit(owner, name, -score))
    return sorted(best.values(), key=lambda hit: (-hit.cosine, hit.id))


def _to_ranking(best: Sequence[Sequence[_Hit]], k: int, *, has_rows: bool) -> Ranking:
    hits: list[_Hit] = []
    for of_query in best:
        hits += [*of_query, *[_NOTHING] * (k - len(of_query))]
    fields = np.array(hits, dtype=object).reshape(len(best), k, len(_Hit._fields))
    ids = fields[..., 0].astype(np.str_)
    rows = fields[..., 1].astype(np.str_)
    scores = fields[..., 2].astype(np.float64)
    return Ranking.of(ids, scores, rows if has_rows else None)
