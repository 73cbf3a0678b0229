"""The k best rows or documents per query by float64 score: a float32 multiply nominates,
`pair_scores` decides.

Let e be the error bound and s the k-th largest float32 score of a query. k documents have s or
more, hence a true score of s - e or more; a document below s - 2e has a true score below that and
is not among the k best. So all rows from s - 2e on are kept, and they alone are scored again. While
rows go by, the k-th score so far is at most s, so that its window is no narrower. A document's
float32 score is its best chunk's, which lies within e of its true score; the chunk that gives the
true score lies within 2e of the document's best.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.search.float64_scores import Numbers, Scores, Vectors, error_bound
from medembed.search.multiply import Floats, Matrix, Scoring

_SLACK = 128  # places beyond 2 k for each query
_CROWDED_AT_ONCE = 256
_ROUNDINGS = 16  # of lengths that products are divided by, counted as dimensions of the error bound
_LOWEST = np.finfo(np.float32).min  # a product of -inf is that of a row that must not be found


class Best(NamedTuple):
    """Rows int64 [Q, k] and their scores float64, best first; -1 and -inf for none."""

    rows: Numbers
    scores: Scores


def best_rows(
    queries: Vectors, matrix: Matrix, k: int, document: Numbers | None, worst: Scores
) -> Best:
    """Return the k best rows of each query.

    queries [Q, d] and the matrix [n, d] are those of `unit_rows`. Equal scores stand in the order
    of their rows. Of rows with one number in `document` [n], which does not fall, only the best
    counts. Rows whose score is below their query's `worst` [Q] may be left out. Memory does not
    grow with ties: queries with too many rows in their window go over the rows again, and these are
    scored as they come.
    """
    if not len(matrix):
        return Best(np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf))
    bound = matrix.error_scale * error_bound(queries.shape[1] + _ROUNDINGS)
    nominees = Nominees(
        len(queries), k, 2 * bound, document, np.maximum(_below(worst, bound), _LOWEST)
    )
    products = matrix.products(queries)
    nominees.raise_floor(products.first())
    for start in range(0, len(matrix), products.block):
        nominees.add(*products.above(start, nominees.limits()))
    lines, rows = nominees.finish()
    best = best_of(queries, matrix, lines, rows, k, document)
    crowded = np.flatnonzero(nominees.crowded)
    for start in range(0, len(crowded), _CROWDED_AT_ONCE):
        part = crowded[start : start + _CROWDED_AT_ONCE]
        again = _search_crowded(queries[part], matrix, k, document, nominees.floor[part])
        best.rows[part] = again.rows
        best.scores[part] = again.scores
    return best


class Candidates(NamedTuple):
    """Rows [P] and the line of the query of each, sorted by line, then row."""

    lines: Numbers
    rows: Numbers


class Limits(NamedTuple):
    """The k-th largest score of each query [L], and what each row must reach in its document.

    Where rows are chunks, the k-th largest score is that of documents.
    """

    kth: Floats
    in_document: Floats


class Nominees:
    """Running candidates of Q queries, in the order of their rows: at most 2 k and some for each.

    `floor` float32 [Q] is what a row must reach, and only rises. A query whose window holds too
    many is `crowded`: its candidates are given up, its floor stays.
    """

    def __init__(
        self, queries: int, k: int, window: float, document: Numbers | None, floor: Floats
    ) -> None:
        self.k = k
        self.window = window
        self.document = document
        self.floor = floor
        self.size = 2 * k + _SLACK
        self.values = np.full((queries, self.size), -np.inf, dtype=np.float32)
        self.rows = np.zeros((queries, self.size), dtype=np.int32)
        self.count = np.zeros(queries, dtype=np.int64)
        self.crowded = np.zeros(queries, dtype=np.bool_)

    def limits(self) -> Floats:
        """Return the floor, out of reach for crowded queries."""
        return np.where(self.crowded, np.float32(np.inf), self.floor)

    def raise_floor(self, scores: Floats) -> None:
        """Raise it by scores [Q, n] of the first rows; else all of them would be candidates."""
        if self.document is not None:
            document = self.document[: scores.shape[1]]
            starts = np.flatnonzero(np.diff(document, prepend=document[:1] - 1))
            scores = np.maximum.reduceat(scores, starts, axis=1) if len(starts) else scores
        self.floor = np.maximum(self.floor, _below(_kth(scores, self.k), self.window))

    def add(self, lines: Numbers, rows: Numbers, values: Floats) -> None:
        """Take in candidates [P] of rows beyond all former ones, sorted by line, then row."""
        new = np.bincount(lines, minlength=len(self.count))
        is_full = self.count + new > self.size
        if is_full.any():
            is_there = is_full[lines]
            # Half of what is beyond k stays free; else every block would find the query full again.
            most = (self.k + self.size) // 2
            full = np.flatnonzero(is_full)
            self._compact(full, lines[is_there], rows[is_there], values[is_there], most)
            lines = lines[~is_there]
            rows = rows[~is_there]
            values = values[~is_there]
            new[is_full] = 0
        # Numbers in the flat arrays: two index arrays for each of them would take twice as long.
        first = np.arange(len(new)) * self.size + self.count - (new.cumsum() - new)
        places = first[lines] + np.arange(len(lines))
        self.values.ravel()[places] = values
        self.rows.ravel()[places] = rows
        self.count += new

    def finish(self) -> Candidates:
        """Return all rows that may be best, except those of crowded queries."""
        nothing = np.zeros(0, dtype=np.int64)
        self._compact(
            np.flatnonzero(~self.crowded),
            nothing,
            nothing,
            np.zeros(0, dtype=np.float32),
            self.size,
        )
        lines, places = np.nonzero(self.values > -np.inf)
        return Candidates(lines, self.rows[lines, places].astype(np.int64))

    def _compact(
        self, full: Numbers, lines: Numbers, rows: Numbers, values: Floats, most: int
    ) -> None:
        """Raise the floor of the queries `full`, and keep what reaches it, if few do."""
        number = np.zeros(len(self.count), dtype=np.int64)
        number[full] = np.arange(len(full))
        new = np.bincount(number[lines], minlength=len(full))
        width = int(max(self.size, (self.count[full] + new).max(initial=0)))
        wide = np.full((len(full), width), -np.inf, dtype=np.float32)
        wide_rows = np.zeros((len(full), width), dtype=np.int32)
        wide[:, : self.size] = self.values[full]
        wide_rows[:, : self.size] = self.rows[full]
        places = (number[lines], self.count[lines] + ranks(new))
        wide[places] = values
        wide_rows[places] = rows
        self._keep(full, wide, wide_rows, most)

    def _keep(
        self, full: Numbers, wide: Floats, wide_rows: npt.NDArray[np.int32], most: int
    ) -> None:
        kth, limit = self._limits_of(wide, wide_rows)
        self.floor[full] = np.maximum(self.floor[full], _below(kth, self.window))
        kept = (wide >= np.maximum(limit, self.floor[full][:, None])) & (wide > -np.inf)
        count = kept.sum(axis=1)
        self.crowded[full] = count > most
        kept[self.crowded[full]] = False
        count[self.crowded[full]] = 0
        self.values[full] = -np.inf
        self.count[full] = count
        lines, columns = np.nonzero(kept)
        places = (full[lines], ranks(count))
        self.values[places] = wide[lines, columns]
        self.rows[places] = wide_rows[lines, columns]

    def _limits_of(self, wide: Floats, wide_rows: npt.NDArray[np.int32]) -> Limits:
        """Return what these scores [L, n] and their rows must reach."""
        if self.document is None:
            return Limits(_kth(wide, self.k), np.full((1, 1), -np.inf, dtype=np.float32))
        owners = np.where(wide > -np.inf, self.document[wide_rows], -1)
        is_first = np.ones(wide.shape, dtype=np.bool_)
        is_first[:, 1:] = owners[:, 1:] != owners[:, :-1]
        best = (
            np.maximum.reduceat(wide.ravel(), np.flatnonzero(is_first))
            if wide.size
            else wide.ravel()
        )
        of_documents = np.full(wide.shape, -np.inf, dtype=np.float32)
        of_documents[is_first] = best
        limit = _below(best, self.window)[is_first.ravel().cumsum() - 1].reshape(wide.shape)
        return Limits(_kth(of_documents, self.k), limit)


def _search_crowded(
    queries: Vectors, matrix: Matrix, k: int, document: Numbers | None, floor: Floats
) -> Best:
    """Do what `best_rows` does, but score each row above the floor at once, to raise it."""
    bound = matrix.error_scale * error_bound(queries.shape[1] + _ROUNDINGS)
    products = matrix.products(queries)
    rows = np.full((len(queries), k), -1)
    scores = np.full((len(queries), k), -np.inf)
    for start in range(0, len(matrix), products.block):
        hits = products.above(start, floor)
        more, more_scores = best_of(queries, matrix, hits.lines, hits.rows, k, document)
        rows, scores = keep_best(
            np.hstack([rows, more]), np.hstack([scores, more_scores]), k, document
        )
        floor = np.maximum(floor, _below(scores[:, -1], bound))
    return Best(rows, scores)


def best_of(
    queries: Vectors,
    matrix: Scoring,
    lines: Numbers,
    rows: Numbers,
    k: int,
    document: Numbers | None,
) -> Best:
    """Return the best of these pairs [P] as `best_rows` does; they are sorted by line, then row."""
    count = np.bincount(lines, minlength=len(queries))
    places = (lines, ranks(count))
    shape = (len(queries), max(k, int(count.max(initial=0))))
    wide_rows = np.full(shape, -1)
    wide = np.full(shape, -np.inf)
    wide_rows[places] = rows
    wide[places] = matrix.scores(queries, lines, rows)
    return keep_best(wide_rows, wide, k, document)


def keep_best(rows: Numbers, scores: Scores, k: int, document: Numbers | None) -> Best:
    """Return the k best of each line [Q, n >= k], best first; of a document only the best.

    Equal scores stay in the order in which they come.
    """
    rows, scores = _sort(rows, scores)
    if document is not None:
        lines, columns = np.nonzero(_is_repeated(np.where(rows >= 0, document[rows], -1)))
        rows[lines, columns] = -1
        scores[lines, columns] = -np.inf
        rows, scores = _sort(rows, scores)
    return Best(rows[:, :k], scores[:, :k])


def _sort(rows: Numbers, scores: Scores) -> Best:
    """Sort each line by falling score; equal scores stay in their order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return Best(np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1))


def _is_repeated(numbers: Numbers) -> npt.NDArray[np.bool_]:
    """Return where a line [Q, n] has a number that stands before in the same line."""
    order = np.argsort(numbers, axis=1, kind="stable")
    ordered = np.take_along_axis(numbers, order, axis=1)
    repeated = np.zeros(numbers.shape, dtype=np.bool_)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated


def _kth(scores: Floats, k: int) -> Floats:
    """Return the k-th largest of each line [Q, n]; -inf where there are fewer than k."""
    surplus = scores.shape[1] - k
    if surplus < 0:
        return np.full(len(scores), -np.inf, dtype=np.float32)
    return np.partition(scores, surplus, axis=1)[:, surplus]


def _below(values: npt.NDArray[np.floating], window: float) -> Floats:
    """Return float32 values that are no larger than values - window."""
    return np.nextafter(
        (values.astype(np.float64) - window).astype(np.float32), np.float32(-np.inf)
    )


def ranks(counts: Numbers) -> Numbers:
    """Count 0, 1, ... within each group of so many: [3, 0, 2] gives [0, 1, 2, 0, 1]."""
    return np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
