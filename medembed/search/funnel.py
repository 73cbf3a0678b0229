"""Search in two passes: few dimensions nominate candidates, many dimensions rank them; and what that misses.

Adaptive retrieval (Kusupati et al. 2022, arXiv:2205.13147): a Matryoshka prefix is good enough to find what might be
relevant, and the whole vector to order it. Vectors are read twice, so that no memory holds those of all candidates.

The multiply gets cheaper, reading and keeping lists of candidates do not. With 65,536 vectors in memory and 64 first
dimensions, 200 candidates for each of 50 queries take 0.7 of exact search's CPU time at 384 dimensions, 0.3 at 1,024;
for 500 queries 1.3 and 0.5. So it is for wide models and many rows: `measure_search` says what it gains and misses.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import ConfigError
from medembed.matryoshka import check_dimensions, truncate
from medembed.progress import track
from medembed.schema import document_of
from medembed.search.float64_scores import pair_scores
from medembed.search.sharded import ReadShard, Shard, run_items, search_shards
from medembed.search.topk import Ranking

_CANDIDATES_AT_ONCE = 500_000  # of all queries together: 0.2 GB of ids in the driver
_ITEMS_PER_WORKER = 4


@dataclass(frozen=True)
class Funnel:
    """`candidates` per query by the first `first_dimensions`, ranked by the first `dimensions`."""

    first_dimensions: int
    dimensions: int
    candidates: int = 200

    def check(self, k: int, width: int) -> None:
        """Raises ModelError for dimensions above the width, ConfigError for what makes no funnel."""
        check_dimensions([self.first_dimensions, self.dimensions], width)
        if self.first_dimensions >= self.dimensions:
            raise ConfigError(
                f"first_dimensions: found {self.first_dimensions}, expected fewer than the {self.dimensions} that rank."
            )
        if self.candidates < k:
            raise ConfigError(f"candidates: found {self.candidates}, expected at least the k={k} wanted.")


def funnel_search(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: npt.NDArray[np.float32],
    k: int,
    funnel: Funnel,
    *,
    by_document: bool = False,
    workers: int = 2,
) -> Ranking:
    """The k best candidates of each query [Q, D], by their cosines at `funnel.dimensions`.

    Arguments and order are those of `search_shards`; cosines are summed in float64, then rounded, so that
    they may differ from an exact search's in the last bit. Each document ranks by its best chunk at those dimensions,
    whichever chunk nominated it. Raises the errors of `Funnel.check`.
    """
    funnel.check(k, queries.shape[1])
    size = max(1, _CANDIDATES_AT_ONCE // funnel.candidates)
    parts = []
    for start in range(0, max(1, len(queries)), size):
        part = queries[start : start + size]
        nominated = search_shards(
            shards, read, part, funnel.candidates, [funnel.first_dimensions], by_document=by_document, workers=workers
        )[funnel.first_dimensions]
        lines, columns = np.nonzero(nominated.ids != "")
        candidates = Candidates(lines, nominated.ids[lines, columns])
        scored = _score(shards, read, truncate(part, funnel.dimensions), candidates, by_document, workers)
        parts.append(_rank(scored, candidates, len(part), k, has_rows=nominated.rows is not None))
    return parts[0] if len(parts) == 1 else _stack(parts)


@dataclass(frozen=True)
class Candidates:
    """Nominated pairs: lines int64 [P] of the queries' matrix, and ids [P]."""

    lines: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Scored:
    """Rows of candidates: numbers int64 [n] of the pairs, cosines float32 [n], row ids [n]."""

    pairs: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.str_]

    def best(self) -> "Scored":
        """The best row of each pair, in the order of the pairs; ties to the smaller row id."""
        order = np.lexsort((self.rows, -self.scores, self.pairs))
        pairs = self.pairs[order]
        first = order[np.concatenate([[True], pairs[1:] != pairs[:-1]])] if len(order) else order
        return Scored(self.pairs[first], self.scores[first], self.rows[first])


class ScoreCandidates:
    """Turns {shards, rows} into {rows, scored}: the candidates that these shards hold, each by its best row there."""

    def __init__(
        self, read: ReadShard[Any], queries: npt.NDArray[np.float32], candidates: Candidates, by_document: bool
    ) -> None:
        self.read, self.queries, self.lines, self.by_document = read, queries, candidates.lines, by_document
        self.pairs_of: dict[str, list[int]] = {}
        for number, name in enumerate(candidates.ids.tolist()):
            self.pairs_of.setdefault(name, []).append(number)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        parts = [self._score(*self.read(shard)) for shard in item["shards"]]
        return {"rows": item["rows"], "scored": _pack(_concatenate(parts).best())}

    def _score(self, names: list[str], vectors: npt.NDArray[np.float32]) -> Scored:
        owners = map(document_of, names) if self.by_document else names
        matched = [(pair, row) for row, name in enumerate(owners) for pair in self.pairs_of.get(name, ())]
        pairs, rows = np.array(matched, dtype=np.int64).reshape(-1, 2).T
        wanted, place = np.unique(rows, return_inverse=True)
        documents = truncate(vectors[wanted], self.queries.shape[1])
        scores = pair_scores(self.queries, self.lines[pairs], documents, place).astype(np.float32)
        return Scored(pairs, scores, np.array([names[row] for row in rows.tolist()], dtype=np.str_))


def _score(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: npt.NDArray[np.float32],
    candidates: Candidates,
    by_document: bool,
    workers: int,
) -> Scored:
    """The best row of each candidate; queries [Q, d] are truncated."""
    count = min(len(shards), _ITEMS_PER_WORKER * workers)
    dealt = [shards[start::count] for start in range(count)]
    items = [{"shards": [shard for shard, _ in part], "rows": sum(rows for _, rows in part)} for part in dealt]
    arguments = {"read": read, "queries": queries, "candidates": candidates, "by_document": by_document}
    results = ((row["rows"], row) for row in run_items(items, ScoreCandidates, arguments, workers))
    total = sum(rows for _, rows in shards)
    return _concatenate([_unpack(row["scored"]) for row in track(results, total, "rank", "documents")]).best()


def _rank(scored: Scored, candidates: Candidates, queries: int, k: int, *, has_rows: bool) -> Ranking:
    """The k best of each query, ties to smaller ids; Ranking's empty places where there are fewer."""
    lines, ids = candidates.lines[scored.pairs], candidates.ids[scored.pairs]
    order = np.lexsort((ids, -scored.scores, lines))
    lines, ids, scores, rows = lines[order], ids[order], scored.scores[order], scored.rows[order]
    column = np.arange(len(lines)) - np.searchsorted(lines, lines)
    kept = column < k
    place = (lines[kept], column[kept])
    best = Ranking(np.full((queries, k), "", dtype=ids.dtype), np.full((queries, k), -np.inf, dtype=np.float32))
    best.ids[place], best.scores[place] = ids[kept], scores[kept]
    if not has_rows:
        return best
    best_rows = np.full((queries, k), "", dtype=rows.dtype)
    best_rows[place] = rows[kept]
    return Ranking(best.ids, best.scores, best_rows)


def _stack(parts: Sequence[Ranking]) -> Ranking:
    """Rankings of different queries, one below the other."""
    is_plain = all(part.rows is None for part in parts)
    return Ranking(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.scores for part in parts]),
        None if is_plain else np.concatenate([part.row_ids for part in parts]),
    )


def _concatenate(parts: Sequence[Scored]) -> Scored:
    return Scored(
        np.concatenate([part.pairs for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.rows for part in parts]),
    )


def _pack(scored: Scored) -> bytes:
    """One NumPy archive without pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, pairs=scored.pairs, scores=scored.scores, rows=scored.rows)
    return buffer.getvalue()


def _unpack(packed: bytes) -> Scored:
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return Scored(archive["pairs"], archive["scores"], archive["rows"])
