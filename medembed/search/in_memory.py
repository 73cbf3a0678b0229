"""Exact search over rows that a process holds in one matrix: quick for one query, and no copy of
the matrix.

At any dimension a row's cosine is the product of its first values with the query's, over their
length. The product reads the matrix where it lies; the lengths are kept. Rows that may be among the
best are truncated and scored again, so that scores are those of every other search, on any machine.

The matrix is cut into column blocks at the dimensions that are asked for most, so that 64 values of
384 are read alone.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from medembed.errors import DataError
from medembed.matryoshka import check_dimensions, truncate
from medembed.search.float64_scores import Numbers, Scores, Vectors, pair_scores
from medembed.search.funnel import Funnel
from medembed.search.multiply import BLOCK, Floats, NumpyProducts, Products
from medembed.search.nominate import Best, Candidates, best_of, best_rows, ranks
from medembed.search.ranking import Ranking, Rows

# [N], in the order of `RowsInMemory.rows`: whether a row may be found
Among = npt.NDArray[np.bool_]
_LENGTHS_KEPT = 16  # dimensions whose lengths are kept: 4 bytes a row each
_LENGTHS_AT_ONCE = 65_536
_PRODUCTS_AT_ONCE = 1 << 20  # of all queries together
_QUERIES_AT_ONCE = 64
_PAIRS_AT_ONCE = 16_384  # copied and truncated: 25 MB of 384 values


class RowsInMemory:
    """Rows in the order in which ties fall, of which whole documents are ranked.

    A class, so that the matrix and the lengths of its rows are made once. Any number of threads may
    search.
    """

    def __init__(
        self,
        ids: Sequence[str],
        parts: Iterable[Vectors],
        width: int,
        dimensions: Sequence[int] = (),
    ) -> None:
        """Hold the vectors of `ids`, which `parts` have in this order, float32 [n, width] each.

        One part at a time is in memory beside the matrix. `dimensions` make searches at these
        quick. Raises DataError for NaN or infinity, ModelError for dimensions above the width.
        """
        check_dimensions(dimensions, width)
        self.width = width
        self.rows = Rows.of(np.asarray(ids, dtype=np.str_), by_document=True)
        self.blocks = _place(self.rows, parts, sorted({0, *dimensions, width}))
        self._inverse_lengths = lru_cache(maxsize=_LENGTHS_KEPT)(self._measure_inverse_lengths)
        for dimension in sorted({*dimensions, width}, reverse=True)[:_LENGTHS_KEPT]:
            self._inverse_lengths(dimension)

    def __len__(self) -> int:
        return len(self.rows.ids)

    def search(
        self, queries: Vectors, k: int, dimensions: int, among: Among | None = None
    ) -> Ranking:
        """Return the k best documents of each query [Q, D] by the first `dimensions`.

        With `among` as if there were no rows but these. Raises ModelError for dimensions above D.
        """
        return self.rows.rank(*self._find(queries, k, dimensions, among))

    def funnel(
        self, queries: Vectors, k: int, funnel: Funnel, among: Among | None = None
    ) -> Ranking:
        """Return what `funnel_search` finds for each query [Q, D] `among` these rows.

        Raises the errors of `Funnel.check`.
        """
        funnel.check(k, queries.shape[1])
        asked = truncate(queries, funnel.dimensions)
        nominated = self._find(queries, funnel.candidates, funnel.first_dimensions, among)
        lines, rows = self._rows_beside(nominated.rows)
        if among is not None:
            lines = lines[among[rows]]
            rows = rows[among[rows]]
        matrix = self._matrix(funnel.dimensions, among)
        return self.rows.rank(*best_of(asked, matrix, lines, rows, k, self.rows.document))

    def _find(self, queries: Vectors, k: int, dimensions: int, among: Among | None) -> Best:
        """Return the rows of the k best documents, as `best_rows` does."""
        check_dimensions([dimensions], self.width)
        asked = truncate(queries, dimensions)
        matrix = self._matrix(dimensions, among)
        places = np.empty((len(asked), k), dtype=np.int64)
        scores = np.empty((len(asked), k))
        for start in range(0, len(asked), _QUERIES_AT_ONCE):
            block = slice(start, start + _QUERIES_AT_ONCE)
            floor = np.full(len(asked[block]), -np.inf)
            places[block], scores[block] = best_rows(
                asked[block], matrix, k, self.rows.document, floor
            )
        return Best(places, scores)

    def _rows_beside(self, places: Numbers) -> Candidates:
        """Return all rows of the documents of these rows [Q, n]."""
        places = np.sort(places, axis=1)
        lines, columns = np.nonzero(places >= 0)
        rows = places[lines, columns]
        document = self.rows.document
        if document is None:
            return Candidates(lines, rows)
        first = np.searchsorted(document, document[rows], "left")
        counts = np.searchsorted(document, document[rows], "right") - first
        rows = np.repeat(first, counts) + ranks(counts)
        return Candidates(np.repeat(lines, counts), rows)

    def _matrix(self, dimensions: int, among: Among | None) -> "Prefixes":
        blocks = []
        start = 0
        for block in self.blocks:
            if start < dimensions:
                blocks.append(block[:, : dimensions - start])
            start += block.shape[1]
        return Prefixes(blocks, self._inverse_lengths(dimensions), among)

    def _measure_inverse_lengths(self, dimensions: int) -> Floats:
        """Return 1 / length of each row's first values, float32 [N]; finite for zero rows, too."""
        squares = np.zeros(len(self), dtype=np.float32)
        for start in range(0, len(self), _LENGTHS_AT_ONCE):
            here = slice(start, start + _LENGTHS_AT_ONCE)
            first = 0
            for block in self.blocks:
                values = block[here, : max(0, dimensions - first)]
                squares[here] += np.einsum("nd,nd->n", values, values)
                first += block.shape[1]
        return np.asarray(1 / np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny), np.float32)


class Prefixes:
    """A `Matrix` of the rows' first values scaled to unit length, computed without a copy.

    They lie in `blocks` of columns [N, n] each. Rows that are not `among` these are not found.
    """

    def __init__(
        self, blocks: Sequence[Vectors], inverse_lengths: Floats, among: Among | None
    ) -> None:
        self.blocks = blocks
        self.inverse_lengths = inverse_lengths
        self.is_out = None if among is None else ~among

    def __len__(self) -> int:
        return len(self.inverse_lengths)

    def products(self, queries: Vectors) -> Products:
        block = min(len(self), max(BLOCK, _PRODUCTS_AT_ONCE // max(1, len(queries))))
        return PrefixProducts(self, block, queries)

    def scores(self, queries: Vectors, lines: Numbers, rows: Numbers) -> Scores:
        scores = np.empty(len(rows))
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            values = np.concatenate([block[rows[part]] for block in self.blocks], axis=1)
            documents = truncate(values, queries.shape[1])
            scores[part] = pair_scores(queries, lines[part], documents, np.arange(len(documents)))
        return scores


class PrefixProducts(NumpyProducts):
    """`Products` of `Prefixes` and queries [Q, d], from a block's first columns as they lie."""

    def __init__(self, matrix: Prefixes, block: int, queries: Vectors) -> None:
        super().__init__(matrix.blocks[0], block, queries)
        self.matrix = matrix

    def _write(self, out: Floats, start: int, stop: int) -> None:
        first = self.matrix.blocks[0]
        np.matmul(self.queries[:, : first.shape[1]], first[start:stop].T, out=out)
        column = first.shape[1]
        for block in self.matrix.blocks[1:]:
            last = column + block.shape[1]
            out += self.queries[:, column:last] @ block[start:stop].T
            column = last
        out *= self.matrix.inverse_lengths[start:stop]
        if self.matrix.is_out is not None:
            out[:, self.matrix.is_out[start:stop]] = -np.inf


def _place(rows: Rows, parts: Iterable[Vectors], cuts: Sequence[int]) -> list[Vectors]:
    """Return the vectors in the order of the sorted rows, in blocks of columns [N, n].

    Raises DataError for NaN or infinity.
    """
    blocks = [
        np.empty((len(rows.ids), last - first), dtype=np.float32) for first, last in pairwise(cuts)
    ]
    start = 0
    for vectors in parts:
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if broken:
            raise DataError(
                "{broken} of {count} vectors hold NaN or infinity; encode their documents again.",
                broken=broken,
                count=len(vectors),
            )
        places = rows.place[start : start + len(vectors)]
        for block, first in zip(blocks, cuts, strict=False):
            block[places] = vectors[:, first : first + block.shape[1]]
        start += len(vectors)
    assert start == len(rows.ids), "as many vectors as ids"
    return blocks
