"""Exact search over rows that a process holds in one matrix: quick for one query, and no copy of the matrix.

At any dimension a row's cosine is the product of its first values with the query's, over their length. The product
reads the matrix where it lies; the lengths are kept. It only nominates, as in `nominate`: all rows within twice the
error bound of the k-th document's score are scored again by `pair_scores`, so that equal rows tie wherever they stand
and scores are those of the funnel, on any machine.

The matrix is cut into column blocks at the dimensions that are asked for most, so that 64 values of 384 are read alone.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from medembed.errors import DataError
from medembed.matryoshka import check_dimensions, truncate
from medembed.search.float64_scores import Numbers, Vectors, error_bound, pair_scores
from medembed.search.funnel import Funnel
from medembed.search.multiply import Floats
from medembed.search.topk import Ranking, Rows

Places = npt.NDArray[np.int32]
Among = npt.NDArray[np.bool_]  # [N], in the order of `HeldRows.rows`: whether a row may be found
_LENGTHS_KEPT = 16  # dimensions whose lengths are kept: 4 bytes a row each
_LENGTHS_AT_ONCE = 65_536
_QUERIES_AT_ONCE = 8  # their products are all that is made: 32 MB for a million rows
_ROUNDINGS = 16  # of lengths, quotients, their product and the score, counted as dimensions of the error bound


class HeldRows:
    """Rows of documents in the order in which ties fall: by document, then by row. Documents are ranked, not chunks.

    A class, so that the matrix and the lengths of its rows are made once. Any number of threads may search.
    """

    def __init__(
        self, ids: Sequence[str], parts: Iterable[Vectors], width: int, dimensions: Sequence[int] = ()
    ) -> None:
        """`parts` hold the vectors of `ids`, in this order, float32 [n, width] each; one at a time is in memory beside
        the matrix. `dimensions` make searches at these quick. Raises DataError for NaN or infinity, ModelError for
        dimensions above the width."""
        check_dimensions(dimensions, width)
        self.width = width
        self.rows = Rows.of(np.asarray(ids, dtype=np.str_), by_document=True)
        self.blocks = _place(self.rows, parts, sorted({0, *dimensions, width}))
        # Row numbers where documents begin; None where each has one row.
        number = self.rows.document
        self.starts = None if number is None else np.flatnonzero(np.diff(number, prepend=-1))
        self._inverse_lengths = lru_cache(maxsize=_LENGTHS_KEPT)(self._measure_inverse_lengths)
        for dimension in sorted({*dimensions, width}, reverse=True)[:_LENGTHS_KEPT]:
            self._inverse_lengths(dimension)

    def __len__(self) -> int:
        return len(self.rows.ids)

    def search(self, queries: Vectors, k: int, dimensions: int, among: Among | None = None) -> Ranking:
        """The k best documents of each query [Q, D] by the first `dimensions`, ordered as `topk.top_k` orders them.

        With `among` as if there were no rows but these. Scores are `pair_scores` rounded to float32. Raises ModelError
        for dimensions above D.
        """
        return self.rows.rank(*self._find(queries, k, dimensions, among))

    def funnel(self, queries: Vectors, k: int, funnel: Funnel, among: Among | None = None) -> Ranking:
        """What `funnel_search` finds for each query [Q, D], with `among` in these rows alone.

        Raises the errors of `Funnel.check`.
        """
        funnel.check(k, queries.shape[1])
        asked = truncate(queries, funnel.dimensions)
        nominated, _ = self._find(queries, funnel.candidates, funnel.first_dimensions, among)
        found = _nothing(len(asked), k)
        for line, places in enumerate(nominated):
            rows = self._rows_beside(places[places >= 0])
            rows = rows if among is None else rows[among[rows]]
            self._rank(asked[line], rows, found[0][line], found[1][line])
        return self.rows.rank(*found)

    def _find(self, queries: Vectors, k: int, dimensions: int, among: Among | None = None) -> tuple[Places, Floats]:
        """(rows int32 [Q, k], scores float32 [Q, k]) of the k best documents, best first; -1 and -inf for none."""
        check_dimensions([dimensions], self.width)
        asked = truncate(queries, dimensions)
        found = _nothing(len(asked), k)
        for start in range(0, len(asked) if len(self) else 0, _QUERIES_AT_ONCE):
            for line, products in enumerate(self._products(asked[start : start + _QUERIES_AT_ONCE]), start):
                rows = self._nominate(products, k, dimensions, among)
                self._rank(asked[line], rows, found[0][line], found[1][line])
        return found

    def _products(self, asked: Vectors) -> Floats:
        """Nearly the cosines, float32 [q, N], of unit queries [q, d]. A multiply takes a block's first columns as
        they lie."""
        first, *others = self._prefix(asked.shape[1])
        products = np.asarray(asked[:, : first.shape[1]] @ first.T, dtype=np.float32)
        start = first.shape[1]
        for block in others:
            products += asked[:, start : start + block.shape[1]] @ block.T
            start += block.shape[1]
        products *= self._inverse_lengths(asked.shape[1])
        return products

    def _prefix(self, dimensions: int) -> list[Vectors]:
        """Views of the blocks that hold the first values of all rows, [N, n] each."""
        starts = np.cumsum([0, *(block.shape[1] for block in self.blocks)]).tolist()
        return [
            block[:, : dimensions - start]
            for start, block in zip(starts, self.blocks, strict=False)
            if start < dimensions
        ]

    def _nominate(self, products: Floats, k: int, dimensions: int, among: Among | None) -> Numbers:
        """Rows that may be the best of one of the k best documents, given one query's products [N].

        Rows that are not `among` these have the products of no document, and are none, however few others there are.
        """
        if among is not None:
            products[~among] = -np.inf
        best = products if self.starts is None else np.maximum.reduceat(products, self.starts)
        surplus = len(best) - k
        floor = -np.inf if surplus <= 0 else np.partition(best, surplus)[surplus]
        may = products >= floor - 2 * error_bound(dimensions + _ROUNDINGS)
        return np.flatnonzero(may if among is None else may & among)

    def _rank(self, query: Floats, rows: Numbers, places: Places, scores: Floats) -> None:
        """Writes the best of these rows, one for each document, into `places` [k] and `scores` [k], best first."""
        values = np.concatenate([block[rows] for block in self._prefix(len(query))], axis=1)
        documents = truncate(values, len(query))
        lines = np.zeros(len(rows), dtype=np.int64)
        found = pair_scores(query[None], lines, documents, np.arange(len(rows))).astype(np.float32)
        order = np.lexsort((rows, -found))
        if self.rows.document is not None:
            _, first = np.unique(self.rows.document[rows[order]], return_index=True)
            order = order[np.sort(first)]
        order = order[: len(places)]
        places[: len(order)], scores[: len(order)] = rows[order], found[order]

    def _rows_beside(self, places: Places) -> Numbers:
        """All rows of the documents that these rows belong to."""
        if self.starts is None or self.rows.document is None:
            return places.astype(np.int64)
        ends = np.append(self.starts[1:], len(self))
        return np.concatenate(
            [np.arange(self.starts[one], ends[one]) for one in self.rows.document[places]] or [np.zeros(0, np.int64)]
        )

    def _measure_inverse_lengths(self, dimensions: int) -> Floats:
        """1 / length of each row's first values, float32 [N]; of a row of zeros a number too, so that it scores 0."""
        inverse = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), _LENGTHS_AT_ONCE):
            here = slice(start, start + _LENGTHS_AT_ONCE)
            squares = sum(np.einsum("nd,nd->n", block[here], block[here]) for block in self._prefix(dimensions))
            inverse[here] = 1 / np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny)
        return inverse


def _place(rows: Rows, parts: Iterable[Vectors], cuts: Sequence[int]) -> list[Vectors]:
    """The vectors in the order of the sorted rows, in blocks of the columns between two cuts, float32 [N, n] each.

    Raises DataError for NaN or infinity.
    """
    blocks = [np.empty((len(rows.ids), last - first), dtype=np.float32) for first, last in pairwise(cuts)]
    start = 0
    for part in parts:
        broken = int((~np.isfinite(part).all(axis=1)).sum())
        if broken:
            raise DataError(f"{broken} of {len(part)} vectors hold NaN or infinity; encode their documents again.")
        places = rows.place[start : start + len(part)]
        for block, first in zip(blocks, cuts, strict=False):
            block[places] = part[:, first : first + block.shape[1]]
        start += len(part)
    assert start == len(rows.ids), "as many vectors as ids"
    return blocks


def _nothing(queries: int, k: int) -> tuple[Places, Floats]:
    return np.full((queries, k), -1, dtype=np.int32), np.full((queries, k), -np.inf, dtype=np.float32)
