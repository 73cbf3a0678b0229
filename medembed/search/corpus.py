"""Search rows in memory exactly: the k best of each query, and the score of each asked pair."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medembed.errors import StorageError
from medembed.privacy import show_id
from medembed.search.float64_scores import Numbers, Vectors, pair_scores, unit_rows
from medembed.search.multiply import Library, NumpyMatrix
from medembed.search.nominate import best_rows, ranks
from medembed.search.ranking import Names, Ranking, Rows

_QUERIES_AT_ONCE = 1024  # they and the block of rows they meet stay in a core's cache
_CANDIDATES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Pairs:
    """Query and document whose score is wanted, ranked high or not.

    `lines` int64 [P] are rows of the queries' matrix, `documents` [P] ids.
    """

    lines: Numbers
    documents: Names

    def within(self, start: int, stop: int) -> "Pairs":
        """Return the pairs of the queries from `start` to `stop`, counted from `start`."""
        here = (self.lines >= start) & (self.lines < stop)
        return Pairs(self.lines[here] - start, self.documents[here])


@dataclass(frozen=True)
class SortedCorpus:
    """Rows in the order in which ties fall, and their `unit_rows` at some dimensions."""

    rows: Rows
    vectors: Mapping[int, Vectors]

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[Sequence[str], Vectors]],
        dimensions: Sequence[int],
        *,
        by_document: bool,
    ) -> "SortedCorpus":
        """Sort and truncate rows (ids, embeddings [n, D]). Raises StorageError for a bad row."""
        names: list[str] = []
        blocks = {dimension: [np.zeros((0, dimension), np.float32)] for dimension in dimensions}
        for ids, vectors in parts:
            for dimension in dimensions:
                blocks[dimension].append(_check(ids, *unit_rows(vectors, dimension)))
            names += ids
        rows = Rows.of(np.asarray(names, dtype=np.str_), by_document=by_document)
        ordered = {}
        for dimension in dimensions:
            ordered[dimension] = _sort(blocks.pop(dimension), rows)
        return cls(rows, ordered)


def top_k(
    queries: Vectors,
    ids: Sequence[str],
    vectors: Vectors,
    k: int,
    dimensions: int | None = None,
    *,
    by_document: bool = False,
) -> Ranking:
    """Return the k rows nearest to each query, or with `by_document` the k documents.

    queries [Q, D] and vectors [N, D]; None takes all dimensions.
    """
    dimensions = dimensions or vectors.shape[1]
    corpus = SortedCorpus.of([(ids, vectors)], [dimensions], by_document=by_document)
    return search_corpus(unit_rows(queries, dimensions).rows, corpus, k)


def search_corpus(
    queries: Vectors,
    corpus: SortedCorpus,
    k: int,
    *,
    worst: Ranking | None = None,
    library: Library = NumpyMatrix,
) -> Ranking:
    """Return the k best rows of each query, or documents, by `pair_scores`.

    queries [Q, d] are `unit_rows` of a dimension that the corpus has. What ranks behind all k of
    `worst`, found elsewhere, may be left out.
    """
    matrix = library(corpus.vectors[queries.shape[1]])
    places = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k))
    floor = np.full(len(queries), -np.inf) if worst is None else worst.scores[:, -1]
    size = min(_QUERIES_AT_ONCE, max(1, _CANDIDATES_AT_ONCE // k))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        best = best_rows(queries[block], matrix, k, corpus.rows.document, floor[block])
        places[block], scores[block] = best
    return corpus.rows.rank(places, scores)


def score_pairs(queries: Vectors, corpus: SortedCorpus, pairs: Pairs) -> Ranking:
    """Return the best row of each pair's document, as a ranking [P, 1]; ties to smaller ids.

    queries [Q, d] are `unit_rows` of a dimension that the corpus has. A document that is not here
    has an empty place.
    """
    owners = corpus.rows.ids if corpus.rows.owners is None else corpus.rows.owners
    first = np.searchsorted(owners, pairs.documents, "left")
    counts = np.searchsorted(owners, pairs.documents, "right") - first
    numbers = np.repeat(np.arange(len(counts)), counts)
    rows = np.repeat(first, counts) + ranks(counts)
    scores = pair_scores(queries, pairs.lines[numbers], corpus.vectors[queries.shape[1]], rows)
    order = np.lexsort((rows, -scores, numbers))
    present, first_of = np.unique(numbers[order], return_index=True)
    best = order[first_of]
    best_places = np.full((len(counts), 1), -1)
    best_scores = np.full((len(counts), 1), -np.inf)
    best_places[present, 0] = rows[best]
    best_scores[present, 0] = scores[best]
    return corpus.rows.rank(best_places, best_scores)


def _check(ids: Sequence[str], rows: Vectors, useless: Numbers) -> Vectors:
    if len(useless):
        raise StorageError(
            "row {name!r}: its embedding is not finite or has no length ({count} of {total} "
            "rows of its shard), expected finite numbers; find all with `medembed table "
            "verify`, and encode them again.",
            name=show_id(str(ids[useless[0]])),
            count=len(useless),
            total=len(ids),
        )
    return rows


def _sort(blocks: Sequence[Vectors], rows: Rows) -> Vectors:
    """Return the rows of these blocks in the order of `rows`."""
    ordered = np.empty((len(rows.ids), blocks[0].shape[1]), dtype=np.float32)
    start = 0
    for block in blocks:
        ordered[rows.place[start : start + len(block)]] = block
        start += len(block)
    return ordered
