"""Search by a vector index of the table: a few rows of each query instead of all."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from medembed.search.nominate import keep_best
from medembed.search.ranking import Ranking, Rows, nobody, stack

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
    best: dict[int, Ranking] = {}
    todo = np.arange(len(queries))
    rows = k
    while len(todo):
        short = []
        for line, (names, scores) in zip(todo.tolist(), nearest(queries[todo], rows), strict=True):
            best[line] = _rank(names, scores, k, by_document=by_document)
            is_short = bool((best[line].places < 0).any())
            if is_short and len(names) >= rows:
                short.append(line)
        todo = np.array(short, dtype=np.int64)
        rows *= _MORE
    return stack([nobody(0, k), *(best[line] for line in sorted(best))])


def _rank(
    names: Sequence[str], scores: npt.NDArray[np.float32], k: int, *, by_document: bool
) -> Ranking:
    """Return the k best of one query's rows, or of their documents."""
    rows = Rows.of(np.asarray(names, dtype=np.str_), by_document=by_document)
    in_order = np.full((1, max(k, len(names))), -np.inf)
    in_order[0, rows.place] = scores
    places = np.arange(in_order.shape[1])[None]
    places[:, len(names) :] = -1
    return rows.rank(*keep_best(places, in_order, k, rows.document))
