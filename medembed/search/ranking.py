"""Best lists of queries, and how two of the same queries are put together; in which order equal
scores stand.

A document scores as its best chunk does (MaxP; Dai and Callan 2019, arXiv:1905.09217). Cutting
lists of documents at k and merging them stays exact: before a document's best score stand only
documents that beat it in the whole corpus too, so that it is cut only if k of them do; its lower
scores fall out beside the best one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.schema import CHUNK_MARK, document_of
from medembed.search.float64_scores import Numbers, Scores
from medembed.search.nominate import keep_best

Names = npt.NDArray[np.str_]
Places = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Ranking:
    """The best rows of each query, or documents by their best rows: score falling, then id rising.

    `names` [n] are ids of rows; `places` int32 [Q, k] point to them, -1 for none; `scores` float64
    [Q, k] are -inf there. `owners` [n] are the rows' documents, set where documents are ranked of
    which some are in chunks.
    """

    names: Names
    places: Places
    scores: Scores
    owners: Names | None = None

    @classmethod
    def of(
        cls, ids: Names, scores: npt.NDArray[np.floating], row_ids: Names | None = None
    ) -> "Ranking":
        """Return the ranking of these `ids`, `scores` and `row_ids` [Q, k]; "" is for none."""
        rows = ids if row_ids is None else row_ids
        names, numbers = np.unique(rows, return_inverse=True)
        places: Places = np.where(rows == "", -1, numbers.reshape(rows.shape)).astype(np.int32)
        if row_ids is None:
            return cls(names, places, scores.astype(np.float64))
        owners = np.full(len(names), "", dtype=ids.dtype)
        owners[places[places >= 0]] = ids[places >= 0]
        return cls(names, places, scores.astype(np.float64), owners)

    @property
    def ids(self) -> Names:
        """What is ranked [Q, k], documents or rows; "" for none."""
        return self._pick(self.names if self.owners is None else self.owners)

    @property
    def row_ids(self) -> Names:
        """The rows that gave the scores [Q, k]; "" for none."""
        return self._pick(self.names)

    def take(self, lines: Numbers) -> "Ranking":
        """Return the lists of these queries."""
        return Ranking(self.names, self.places[lines], self.scores[lines], self.owners)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the fields that are set, by name."""
        arrays = {"names": self.names, "places": self.places, "scores": self.scores}
        return arrays if self.owners is None else arrays | {"owners": self.owners}

    def _pick(self, names: Names) -> Names:
        if not len(names):
            return np.full(self.places.shape, "", dtype="<U1")
        return np.where(self.places >= 0, names[self.places], "")


@dataclass(frozen=True)
class Rows:
    """Rows in the order in which ties fall: ids [N] sorted, by document first if these rank.

    `place` int64 [N] is where each row as it came stands in that order. Where documents have
    several rows, `owners` [N] are the sorted rows' documents, and `document` int64 [N] their
    numbers.
    """

    ids: Names
    place: Numbers
    owners: Names | None = None
    document: Numbers | None = None

    @classmethod
    def of(cls, ids: Names, *, by_document: bool) -> "Rows":
        """Sort the rows with these ids [N]."""
        owners = _owners(ids) if by_document else None
        order = np.argsort(ids) if owners is None else np.lexsort((ids, owners))
        place = np.empty(len(ids), dtype=np.int64)
        place[order] = np.arange(len(ids))
        if owners is None:
            return cls(ids[order], place)
        owners = owners[order]
        document = np.concatenate([[0], (owners[1:] != owners[:-1]).cumsum()])
        return cls(ids[order], place, owners, document)

    def rank(self, places: npt.NDArray[np.integer], scores: Scores) -> Ranking:
        """Return the ranking [Q, k] of the rows at these places, -1 for none.

        Names of rows that are in no list are left out, so that merging does not collect them.
        """
        used, again = np.unique(places[places >= 0], return_inverse=True)
        renumbered = np.full(places.shape, -1, dtype=np.int32)
        renumbered[places >= 0] = again
        owners = None if self.owners is None else self.owners[used]
        return Ranking(self.ids[used], renumbered, scores, owners)


def merge(first: Ranking, second: Ranking, k: int, *, by_document: bool) -> Ranking:
    """Return the k best of the same queries in two parts of a corpus.

    A document that is in both keeps its better row.
    """
    names = np.concatenate([first.names, second.names])
    rows = Rows.of(names, by_document=by_document)
    moved = np.append(rows.place, -1)  # the last is for places -1
    shifted = np.where(second.places >= 0, second.places + len(first.names), -1)
    places = moved[np.hstack([first.places, shifted])]
    order = np.argsort(places, axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)
    scores = np.take_along_axis(np.hstack([first.scores, second.scores]), order, axis=1)
    return rows.rank(*keep_best(places, scores, k, rows.document if len(names) else None))


def stack(rankings: Sequence[Ranking]) -> Ranking:
    """Return the lists of different queries as one ranking, one below the other."""
    names = []
    owners = []
    places = []
    start = 0
    for ranking in rankings:
        names.append(ranking.names)
        owners.append(ranking.names if ranking.owners is None else ranking.owners)
        places.append(np.where(ranking.places >= 0, ranking.places + start, -1))
        start += len(ranking.names)
    is_plain = all(ranking.owners is None for ranking in rankings)
    return Ranking(
        np.concatenate(names),
        np.concatenate(places).astype(np.int32),
        np.concatenate([ranking.scores for ranking in rankings]),
        None if is_plain else np.concatenate(owners),
    )


def nobody(queries: int, k: int) -> Ranking:
    """Return empty lists for so many queries."""
    places = np.full((queries, k), -1, dtype=np.int32)
    return Ranking(np.zeros(0, dtype=np.str_), places, np.full((queries, k), -np.inf))


def _owners(ids: Names) -> Names | None:
    """Return each row's document [N], or None if all rows are whole documents."""
    if not (np.char.find(ids, CHUNK_MARK) >= 0).any():
        return None
    return np.asarray(list(map(document_of, ids.tolist())), dtype=np.str_)
