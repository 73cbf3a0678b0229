"""Exact search over rows that a process holds: quick for one query, and no copy of the rows.

At any dimension a row's cosine is the product of its first values with the query's, over their
length. The product reads the rows where they lie, as float32, int8 codes or bits; the lengths are
kept. Rows that may be among the best are truncated and scored again, so that scores are those of
every other search, on any machine.

Where only codes are held, the table's own vectors of the candidates are fetched, by the numbers of
their rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from medembed.bits import measure_bits, to_bits
from medembed.codes import Codes, Ranges
from medembed.errors import ConfigError
from medembed.matryoshka import check_dimensions, truncate
from medembed.search.float64_scores import Numbers, Scores, Vectors, pair_scores
from medembed.search.funnel import Funnel
from medembed.search.hamming import nearest_rows
from medembed.search.held import BitRows, FloatRows, HeldRows, Int8Rows, Lengths, Parts, Prefix
from medembed.search.multiply import BLOCK, BlockProducts, Floats, Products
from medembed.search.nominate import Best, Candidates, best_of, best_rows, ranks
from medembed.search.ranking import Ranking, Rows

# [N], in the order of `RowsInMemory.rows`: whether a row may be found
Among = npt.NDArray[np.bool_]
Fetch = Callable[[Numbers], Vectors]
_LENGTHS_KEPT = 16  # dimensions whose lengths are kept: 4 bytes a row each
_PRODUCTS_AT_ONCE = 1 << 20  # of all queries together
_QUERIES_AT_ONCE = 64
_ROWS_AT_ONCE = 4096  # of which bits are made
_PAIRS_AT_ONCE = 16_384  # copied and truncated: 25 MB of 384 values


@dataclass(frozen=True)
class Coded:
    """What the parts of rows hold instead of float32: int8 codes [n, D] or bits, by `ranges`.

    `fetch` gives the table's vectors float32 [n, D] of rows int64 [n], counted as the parts have
    them; None: the codes are all that the table has.
    """

    codes: Codes
    ranges: Ranges
    fetch: Fetch | None = None


class RowsInMemory:
    """Rows in the order in which ties fall, of which whole documents are ranked.

    A class, so that the rows are placed, and their lengths made, once. Any number of threads may
    search.
    """

    def __init__(
        self,
        ids: Sequence[str],
        parts: Parts,
        width: int,
        dimensions: Sequence[int] = (),
        coded: Coded | None = None,
    ) -> None:
        """Hold the rows of `ids`, which `parts` have in this order: vectors float32 [n, width], or
        what `coded` says.

        One part at a time is in memory beside the rows. `dimensions` make searches at these quick;
        of bits the first search at each takes longer.
        Raises DataError for NaN or infinity, ModelError for dimensions above the width.
        """
        check_dimensions(dimensions, width)
        self.width = width
        self.coded = coded
        self.rows = Rows.of(np.asarray(ids, dtype=np.str_), by_document=True)
        self.held = _hold(self.rows, parts, width, dimensions, coded)
        self.fetch = coded.fetch if coded else None
        self._lengths = lru_cache(maxsize=_LENGTHS_KEPT)(self.held.lengths)
        # Bits mostly nominate, which needs none; lengths would take nearly as much memory.
        if not isinstance(self.held, BitRows):
            for dimension in sorted({*dimensions, width}, reverse=True)[:_LENGTHS_KEPT]:
                self._lengths(dimension)

    def __len__(self) -> int:
        return len(self.rows.ids)

    def search(
        self, queries: Vectors, k: int, dimensions: int, among: Among | None = None
    ) -> Ranking:
        """Return the k best documents of each query [Q, D] by the first `dimensions` of what is
        held.

        With `among` as if there were no rows but these. Raises ModelError for dimensions above D.
        """
        return self.rows.rank(*self._find(queries, k, dimensions, among))

    def funnel(
        self, queries: Vectors, k: int, funnel: Funnel, among: Among | None = None
    ) -> Ranking:
        """Return what `funnel_search` finds for each query [Q, D] `among` these rows.

        Codes nominate if the funnel says so; candidates rank by the table's own vectors. Raises the
        errors of `Funnel.check`, and ConfigError for a first pass by int8 where none is held.
        """
        funnel.check(k, queries.shape[1])
        take = self._fetch if self.fetch else self.held.prefix(funnel.dimensions).take
        finest = TakenRows(take)

        def find(block: Vectors) -> Best:
            lines, rows = self._rows_beside(self._nominate(block, funnel, among))
            if among is not None:
                is_among = among[rows]
                lines = lines[is_among]
                rows = rows[is_among]
            asked = truncate(block, funnel.dimensions)
            return best_of(asked, finest, lines, rows, k, self.rows.document)

        return self.rows.rank(*_find_by_blocks(queries, k, find))

    @cached_property
    def bits(self) -> BitRows:
        """The rows' bits, made when they are first asked for; those that are held if they are.

        Their levels are measured on all rows.
        """
        if isinstance(self.held, BitRows):
            return self.held
        levels = measure_bits(self._parts())
        parts = (to_bits(vectors, levels) for vectors in self._parts())
        return BitRows.of(Rows(self.rows.ids, np.arange(len(self))), parts, levels)

    def _parts(self) -> Iterator[Vectors]:
        """Give all rows in their order, some at a time."""
        held = self.held.prefix(self.width)
        numbers = np.arange(len(self))
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield held.take(numbers[start : start + _ROWS_AT_ONCE])

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int32]:
        """The number of each sorted row in the parts that it came in."""
        return np.argsort(self.rows.place).astype(np.int32)

    def _fetch(self, rows: Numbers) -> Vectors:
        """Return the table's own vectors of these rows; each is read once for many pairs."""
        assert self.fetch is not None
        wanted, places = np.unique(rows, return_inverse=True)
        return self.fetch(self._numbers[wanted].astype(np.int64))[places]

    def _nominate(self, queries: Vectors, funnel: Funnel, among: Among | None) -> Numbers:
        """Return rows of the documents that the first pass finds, int64 [Q, n], -1 for none."""
        first = funnel.first_dimensions
        if funnel.first_codes == "binary":
            bits = self.bits
            asked = to_bits(queries[:, :first], bits.levels)
            return nearest_rows(asked, first, bits, funnel.candidates, self.rows.document, among)
        if funnel.first_codes == "int8" and not isinstance(self.held, Int8Rows):
            raise ConfigError(
                "first_codes: found int8, but no int8 codes are held here; choose binary, or leave "
                "it out."
            )
        return self._find(queries, funnel.candidates, first, among).rows

    def _find(self, queries: Vectors, k: int, dimensions: int, among: Among | None) -> Best:
        """Return the rows of the k best documents, as `best_rows` does."""
        check_dimensions([dimensions], self.width)
        matrix = Prefixes(self.held.prefix(dimensions), self._lengths(dimensions), among)

        def find(block: Vectors) -> Best:
            floor = np.full(len(block), -np.inf)
            return best_rows(block, matrix, k, self.rows.document, floor)

        return _find_by_blocks(truncate(queries, dimensions), k, find)

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


def _find_by_blocks(queries: Vectors, k: int, find: Callable[[Vectors], Best]) -> Best:
    """Return what is found for all queries [Q, D]; memory is that of some at once."""
    best = Best(np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k)))
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = slice(start, start + _QUERIES_AT_ONCE)
        best.rows[block], best.scores[block] = find(queries[block])
    return best


def _hold(
    rows: Rows, parts: Parts, width: int, dimensions: Sequence[int], coded: Coded | None
) -> HeldRows:
    if coded is None:
        return FloatRows.of(rows, parts, dimensions, width)
    if coded.codes == "binary":
        return BitRows.of(rows, parts, coded.ranges)
    return Int8Rows.of(rows, parts, coded.ranges, width)


class TakenRows:
    """Scores pairs of queries and rows by the vectors that `take` gives of these rows."""

    def __init__(self, take: Callable[[Numbers], Vectors]) -> None:
        self.take = take

    def scores(self, queries: Vectors, lines: Numbers, rows: Numbers) -> Scores:
        """Return the scores [P] of pairs; vectors are truncated as the queries [Q, d] are."""
        scores = np.empty(len(rows))
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            documents = truncate(self.take(rows[part]), queries.shape[1])
            scores[part] = pair_scores(queries, lines[part], documents, np.arange(len(documents)))
        return scores


class Prefixes(TakenRows):
    """A `Matrix` of the rows' first values scaled to unit length, computed without a copy.

    Rows that are not `among` these are not found.
    """

    def __init__(self, held: Prefix, lengths: Lengths, among: Among | None) -> None:
        super().__init__(held.take)
        self.held = held
        self.inverse_lengths = lengths.inverse
        self.error_scale = lengths.error_scale
        self.is_out = None if among is None else ~among

    def __len__(self) -> int:
        return len(self.inverse_lengths)

    def products(self, queries: Vectors) -> Products:
        block = min(len(self), max(BLOCK, _PRODUCTS_AT_ONCE // max(1, len(queries))))
        return PrefixProducts(self, block, queries)


class PrefixProducts(BlockProducts):
    """`Products` of `Prefixes` and queries [Q, d], from the rows' first values as they lie."""

    def __init__(self, matrix: Prefixes, block: int, queries: Vectors) -> None:
        super().__init__(len(matrix), block, queries)
        self.matrix = matrix

    def _write(self, out: Floats, start: int, stop: int) -> None:
        self.matrix.held.multiply(self.queries, start, stop, out)
        out *= self.matrix.inverse_lengths[start:stop]
        if self.matrix.is_out is not None:
            out[:, self.matrix.is_out[start:stop]] = -np.inf
