"""Exact best lists of queries: found in one part of a corpus, and put together from several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.errors import StorageError
from medembed.privacy import show_id
from medembed.search.float64_scores import Numbers, Scores, Vectors, unit_rows
from medembed.search.multiply import Library, with_numpy
from medembed.search.nominate import best_rows, keep_best
from medembed.search.topk import Rows

Names = npt.NDArray[np.str_]
_QUERIES_AT_ONCE = 1024  # they and the block of rows they meet stay in a core's cache
_CANDIDATES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Neighbours:
    """The best rows of each query, or documents by their best rows: score falling, then id rising.

    `names` [n] are the rows' ids, each once; `places` int32 [Q, k] point to them, -1 for none; `scores` float64 [Q, k]
    are -inf there. `owners` [n] are the rows' documents, set where documents are ranked that are in chunks.
    """

    names: Names
    places: npt.NDArray[np.int32]
    scores: Scores
    owners: Names | None = None

    @property
    def ids(self) -> Names:
        """What is ranked [Q, k], documents or rows; "" for none."""
        return self._pick(self.names if self.owners is None else self.owners)

    @property
    def row_ids(self) -> Names:
        """The rows that gave the scores [Q, k]; "" for none."""
        return self._pick(self.names)

    def _pick(self, names: Names) -> Names:
        if not len(names):
            return np.full(self.places.shape, "", dtype="<U1")
        return np.where(self.places >= 0, names[self.places], "")


@dataclass(frozen=True)
class Corpus:
    """Rows of a corpus in the order in which ties fall: by id, or by document and id where documents are ranked.

    vectors float32 [n, d] are those of `unit_rows`; `document` int64 [n] numbers documents in that order, set where
    some are in chunks.
    """

    names: Names
    vectors: Vectors
    owners: Names | None
    document: Numbers | None

    @classmethod
    def of(cls, parts: Iterable[tuple[Sequence[str], Vectors]], dimensions: int, *, by_document: bool) -> "Corpus":
        """The rows of (ids, embeddings [n, D]), truncated. Raises StorageError that names a row of no use."""
        names: list[str] = []
        blocks = [np.zeros((0, dimensions), dtype=np.float32)]
        for ids, vectors in parts:
            rows, useless = unit_rows(vectors, dimensions)
            if len(useless):
                raise StorageError(
                    f"row {show_id(str(ids[useless[0]]))!r}: its embedding is not finite or has no length "
                    f"({len(useless)} of {len(ids)} rows of its shard), expected finite numbers; find all with "
                    "`medembed table verify`, and encode them again."
                )
            names += ids
            blocks.append(rows)
        order = Rows.of(np.asarray(names, dtype=np.str_), by_document=by_document)
        sorted_rows = np.empty((len(names), dimensions), dtype=np.float32)
        start = 0
        for block in blocks:
            sorted_rows[order.place[start : start + len(block)]] = block
            start += len(block)
        return cls(order.ids, sorted_rows, order.owners, order.document)


def nobody(queries: int, k: int) -> Neighbours:
    """No neighbours for so many queries."""
    places = np.full((queries, k), -1, dtype=np.int32)
    return Neighbours(np.zeros(0, dtype=np.str_), places, np.full((queries, k), -np.inf))


def find_neighbours(
    queries: Vectors, corpus: Corpus, k: int, *, worst: Scores | None = None, library: Library = with_numpy
) -> Neighbours:
    """The k best of the corpus for each query; queries float32 [Q, d] are those of `unit_rows`.

    What scores below a query's `worst` [Q] may be left out.
    """
    places, scores = np.empty((len(queries), k), dtype=np.int32), np.empty((len(queries), k))
    floor = np.full(len(queries), -np.inf) if worst is None else worst
    multiply = library(corpus.vectors)
    size = min(_QUERIES_AT_ONCE, max(1, _CANDIDATES_AT_ONCE // k))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        found = best_rows(queries[part], corpus.vectors, k, multiply, corpus.document, floor[part])
        places[part], scores[part] = found
    return _of_used(corpus.names, places, scores, corpus.owners)


def merge_neighbours(one: Neighbours, other: Neighbours, k: int, *, by_document: bool) -> Neighbours:
    """The k best of the same queries in two parts of a corpus; a document that is in both keeps its better row."""
    names = np.concatenate([one.names, other.names])
    rows = Rows.of(names, by_document=by_document)
    moved = np.append(rows.place.astype(np.int64), -1)  # the last is for places -1
    shifted = np.where(other.places >= 0, other.places + len(one.names), -1)
    places = moved[np.hstack([one.places, shifted])]
    order = np.argsort(places, axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)
    scores = np.take_along_axis(np.hstack([one.scores, other.scores]), order, axis=1)
    places, scores = keep_best(places, scores, k, rows.document if len(names) else None)
    return _of_used(rows.ids, places.astype(np.int32), scores, rows.owners)


def _of_used(names: Names, places: npt.NDArray[np.int32], scores: Scores, owners: Names | None) -> Neighbours:
    """The same lists without the names of rows that are in none, so that merging does not collect them."""
    used, again = np.unique(places[places >= 0], return_inverse=True)
    places[places >= 0] = again
    return Neighbours(names[used], places, scores, None if owners is None else owners[used])
