"""Search in two passes: few dimensions nominate candidates, many dimensions rank them; and what
that misses.

Adaptive retrieval (Kusupati et al. 2022, arXiv:2205.13147): a Matryoshka prefix is good enough to
find what might be relevant, and the whole vector to order it. Vectors are read twice, so that no
memory holds those of all candidates.

The multiply gets cheaper, reading and keeping lists of candidates do not. With 65,536 vectors in
memory and 64 first dimensions, 200 candidates for each of 50 queries take 0.7 of exact search's CPU
time at 384 dimensions, 0.3 at 1,024; for 500 queries 1.3 and 0.5. So it is for wide models and many
rows: `measure_search` says what it gains and misses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medembed.codes import Codes
from medembed.errors import ConfigError
from medembed.matryoshka import check_dimensions
from medembed.search.corpus import Pairs
from medembed.search.float64_scores import Vectors
from medembed.search.ranking import Ranking, stack
from medembed.search.shards import search_shards
from medembed.search.stripe import ReadShard, Shard

CANDIDATES = 200
_CANDIDATES_AT_ONCE = 500_000  # of all queries together: 0.2 GB of ids in the driver


@dataclass(frozen=True)
class Funnel:
    """`candidates` per query by the first `first_dimensions`, ranked by the first `dimensions`.

    `first_codes`: the first pass reads these codes instead of vectors, of as many dimensions as
    rank, or fewer.
    """

    first_dimensions: int
    dimensions: int
    candidates: int = CANDIDATES
    first_codes: Codes | None = None

    def check(self, k: int, width: int) -> None:
        """Raise ModelError for dimensions above the width, ConfigError for what is no funnel."""
        check_dimensions([self.first_dimensions, self.dimensions], width)
        if self.first_codes is None and self.first_dimensions >= self.dimensions:
            raise ConfigError(
                "first_dimensions: found {first_dimensions}, expected fewer than the "
                "{dimensions} that rank.",
                first_dimensions=self.first_dimensions,
                dimensions=self.dimensions,
            )
        if self.first_dimensions > self.dimensions:
            raise ConfigError(
                "first_dimensions: found {first_dimensions}, expected no more than the "
                "{dimensions} that rank.",
                first_dimensions=self.first_dimensions,
                dimensions=self.dimensions,
            )
        if self.candidates < k:
            raise ConfigError(
                "candidates: found {candidates}, expected at least the k={k} wanted.",
                candidates=self.candidates,
                k=k,
            )


def funnel_search(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: Vectors,
    k: int,
    funnel: Funnel,
    *,
    by_document: bool = False,
    workers: int = 2,
) -> Ranking:
    """Return the k best candidates of each query [Q, D], by their cosines at `funnel.dimensions`.

    Arguments, scores and order are those of `search_shards`. Each document ranks by its best chunk
    at those dimensions, whichever chunk nominated it. Raises the errors of `Funnel.check`.
    """
    funnel.check(k, queries.shape[1])
    search = partial(search_shards, shards, read, by_document=by_document, workers=workers)
    size = max(1, _CANDIDATES_AT_ONCE // funnel.candidates)
    starts = range(0, max(1, len(queries)), size)
    return stack([_search(search, queries[start : start + size], k, funnel) for start in starts])


def _search(search: Callable[..., Any], queries: Vectors, k: int, funnel: Funnel) -> Ranking:
    first = funnel.first_dimensions
    nominating = search(queries, funnel.candidates, [first])
    nominated = stack([answer.rankings[first] for answer in nominating])
    ids = nominated.ids
    lines, columns = np.nonzero(ids != "")
    pairs = Pairs(lines, ids[lines, columns])
    ranking = search(queries, 0, [funnel.dimensions], pairs=pairs)
    scored = stack([answer.pairs[funnel.dimensions] for answer in ranking])
    scores = np.full(ids.shape, -np.inf)
    scores[lines, columns] = scored.scores[:, 0]
    row_ids = np.full(ids.shape, "", dtype=scored.names.dtype)
    row_ids[lines, columns] = scored.row_ids[:, 0]
    order = np.lexsort((ids, -scores))[:, :k]
    in_chunks = nominated.owners is not None
    return Ranking.of(
        np.take_along_axis(ids, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(row_ids, order, axis=1) if in_chunks else None,
    )
