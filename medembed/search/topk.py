"""Exact top-k by blocks with a running best list, ordered by (score, id), of rows or of the documents they belong to.

A document scores as its best chunk does (MaxP; Dai and Callan 2019, arXiv:1905.09217). Cutting lists of documents
at k and merging them stays exact: before a document's best score stand only documents that beat it in the whole
corpus too, so that it is cut only if k of them do; its lower scores fall out beside the best one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.schema import CHUNK_MARK, document_of

_BLOCK = 1024  # rows in one multiply: queries x block scores are all that is in memory
_SIGN = np.uint32(1 << 31)
_LOW = np.uint64(0xFFFFFFFF)
Keys = npt.NDArray[np.uint64]


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

    queries [Q, D] and vectors [N, D] have unit rows; ids [N].
    """
    best = Best(len(queries), Rows.of(ids, by_document=by_document), k)
    best.add(queries, vectors, 0)
    return best.rows.rank(*best.found())


@dataclass(frozen=True)
class Rows:
    """Rows in the order in which ties fall: ids [N] sorted, by document first where documents are ranked.

    `place` uint64 [N] is where each row as it came stands in that order. Where documents have several rows, `owners`
    [N] are the sorted rows' documents, and `document` int64 [N] their numbers.
    """

    ids: npt.NDArray[np.str_]
    place: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.str_] | None = None
    document: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, ids: npt.NDArray[np.str_], *, by_document: bool) -> "Rows":
        """The rows with these ids [N], in this order."""
        owners = _owners(ids) if by_document else None
        order = np.argsort(ids) if owners is None else np.lexsort((ids, owners))
        place = np.empty(len(ids), dtype=np.uint64)
        place[order] = np.arange(len(ids), dtype=np.uint64)
        if owners is None:
            return cls(ids[order], place)
        owners = owners[order]
        document = np.concatenate([[0], (owners[1:] != owners[:-1]).cumsum()])
        return cls(ids[order], place, owners, document)

    def rank(self, places: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> Ranking:
        """The ranking [Q, k] whose rows stand at these places, -1 for none."""
        if not len(self.ids):
            return _empty(*places.shape)
        names = self.ids if self.owners is None else self.owners
        rows = None if self.owners is None else np.where(places >= 0, self.ids[places], "")
        return Ranking(np.where(places >= 0, names[places], ""), scores, rows)


class Best:
    """The running best list of Q queries over rows that are known beforehand.

    A score and its row are one integer, the score's bits above the row's place among the sorted ids, so that whole
    blocks are cut by one partition and ties fall as they do in the sorted list. Places with nothing are 0.
    """

    def __init__(self, queries: int, rows: Rows, k: int) -> None:
        self.rows, self.k, self.keys = rows, k, np.zeros((queries, k), dtype=np.uint64)

    def add(self, queries: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], start: int) -> None:
        """Takes in the rows from `start` on: queries [Q, D], vectors [n, D], without NaN.

        All blocks have one size, the last one filled up with zeros: a product's last bits depend on the shape of the
        multiply, and equal rows must tie wherever they stand.
        """
        for first in range(0, len(vectors), _BLOCK):
            block = vectors[first : first + _BLOCK]
            filled = np.zeros((_BLOCK, block.shape[1]), dtype=np.float32)
            filled[: len(block)] = block
            scores = (queries @ filled.T)[:, : len(block)]
            self._add_scores(scores, self.rows.place[start + first : start + first + len(block)])

    def found(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """(places among the sorted rows, scores) of the best, best first [Q, k]; -1 and -inf where there is none."""
        keys = np.sort(self.keys, axis=1)[:, ::-1]
        places = np.where(keys > 0, (_LOW - (keys & _LOW)).astype(np.int64), -1)
        return places.astype(np.int32), _to_scores(keys)

    def _add_scores(self, scores: npt.NDArray[np.float32], places: npt.NDArray[np.uint64]) -> None:
        """scores [Q, n] of the rows at these places [n]. Most blocks hold nothing new for most queries."""
        (open_rows,) = np.nonzero(scores.max(axis=1) >= _to_scores(self.keys.min(axis=1)))
        keys = _to_keys(scores[open_rows], places)
        if self.rows.document is not None:
            keys = _best_of_documents(keys, self.rows.document[places])
        keys = np.concatenate([self.keys[open_rows], _largest(keys, self.k)], axis=1)
        if self.rows.document is not None:
            self._drop_repeated(keys)
        self.keys[open_rows] = _largest(keys, self.k)

    def _drop_repeated(self, keys: Keys) -> None:
        """Of the keys [Q, n] of one document keeps the largest, in place: others become 0. The key order is changed."""
        keys[:] = np.sort(keys, axis=1)[:, ::-1]
        places = (_LOW - (keys & _LOW)).astype(np.int64)
        assert self.rows.document is not None
        documents = np.where(keys > 0, self.rows.document[np.minimum(places, len(self.rows.ids) - 1)], -1)
        order = np.argsort(documents, axis=1, kind="stable")
        ordered = np.take_along_axis(documents, order, axis=1)
        repeated = np.zeros(keys.shape, dtype=np.bool_)
        repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        lines, columns = np.nonzero(repeated)
        keys[lines, order[lines, columns]] = 0


def merge(one: Ranking, other: Ranking, k: int) -> Ranking:
    """The k best of two rankings of the same queries; a document that both name keeps its better row."""
    ids = np.concatenate([one.ids, other.ids], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    is_plain = one.rows is None and other.rows is None
    rows = ids if is_plain else np.concatenate([one.row_ids, other.row_ids], axis=1)
    best = _empty(len(ids), k, ids.dtype)
    best_rows = best.ids if is_plain else _empty(len(ids), k, rows.dtype).ids
    for line in range(len(ids)):
        order = np.lexsort((rows[line], ids[line], -scores[line]))
        if not is_plain:
            _, first = np.unique(ids[line, order], return_index=True)
            order = order[np.sort(first)]
        order = order[:k]
        best.ids[line, : len(order)] = ids[line, order]
        best.scores[line, : len(order)] = scores[line, order]
        best_rows[line, : len(order)] = rows[line, order]
    return Ranking(best.ids, best.scores, None if is_plain else best_rows)


def _owners(ids: npt.NDArray[np.str_]) -> npt.NDArray[np.str_] | None:
    """Each row's document [N], or None if all rows are whole documents."""
    if not (np.char.find(ids, CHUNK_MARK) >= 0).any():
        return None
    return np.asarray([document_of(name) for name in ids.tolist()], dtype=np.str_)


def _to_keys(scores: npt.NDArray[np.float32], places: npt.NDArray[np.uint64]) -> Keys:
    """Keys [Q, n] that sort as (score up, place down): IEEE floats compare as integers once the sign is turned."""
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 makes -0 a 0
    turned = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return turned.astype(np.uint64) << np.uint64(32) | (_LOW - places)


def _to_scores(keys: Keys) -> npt.NDArray[np.float32]:
    """The scores of keys; -inf for a place with nothing."""
    turned = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(turned & _SIGN, turned & ~_SIGN, ~turned)
    return np.where(keys > 0, bits.view(np.float32), np.float32(-np.inf))


def _best_of_documents(keys: Keys, documents: npt.NDArray[np.int64]) -> Keys:
    """The largest key of each document in a block [Q, documents]; `documents` [n] are the columns' owners."""
    order = np.argsort(documents, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], documents[order][1:] != documents[order][:-1]]))
    return np.maximum.reduceat(keys[:, order], starts, axis=1)


def _largest(keys: Keys, k: int) -> Keys:
    """The k largest of each row, in any order; all of them where there are no more."""
    surplus = keys.shape[1] - k
    return np.partition(keys, surplus, axis=1)[:, surplus:] if surplus > 0 else keys


def _empty(rows: int, k: int, dtype: np.dtype[np.str_] | None = None) -> Ranking:
    ids = np.full((rows, k), "", dtype=dtype if dtype is not None else "<U1")
    return Ranking(ids, np.full((rows, k), -np.inf, dtype=np.float32))
