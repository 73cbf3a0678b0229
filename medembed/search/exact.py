"""Exact best lists over a cluster: the same bytes however the corpus is cut into shards, blocks and workers.

Work is cut both ways: into stripes of the corpus and blocks of queries. A worker goes through the shards of a stripe
with a block's running best lists, and records the lists. The stripes of a block are put together in a tree: whoever
finds the other half recorded merges the two. No process has all embeddings, all scores or all lists in memory.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medembed.errors import ConfigError, DataError
from medembed.matryoshka import check_dimensions
from medembed.progress import track
from medembed.records import Records
from medembed.schema import content_hash
from medembed.search.float64_scores import Vectors, unit_rows
from medembed.search.multiply import Library, with_numpy, with_torch
from medembed.search.neighbours import Corpus, Neighbours, find_neighbours, merge_neighbours, nobody
from medembed.search.plan import Plan, plan_work
from medembed.search.sharded import ReadShard, Shard
from medembed.spread import Workers, spread


def nearest_rows(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: Vectors,
    k: int,
    dimensions: int,
    records: Records,
    *,
    by_document: bool = False,
    workers: Workers = 2,
    device: str | None = None,
    gpus: float = 0,
) -> Iterator[Neighbours]:
    """The k best rows of each query [Q, D], or documents by their best rows, in consecutive blocks of queries.

    `shards` are (shard, its rows), `read` gives a shard's ids and embeddings [n, D], on the workers. Both sides are
    truncated to `dimensions`. Order: float64 score (`pair_scores`) falling, then id rising. Workers multiply with
    NumPy, or with torch on `device`; with `gpus` for each, on these. What they find goes to `records`, where a rerun
    for the same shards and queries, with as many workers, finds it. Raises ModelError for dimensions above D,
    ConfigError for k below 1, DataError for a query and StorageError for a row that is not finite.
    """
    check_dimensions([dimensions], queries.shape[1])
    if k < 1:
        raise ConfigError(f"k: found {k}, expected at least 1.")
    most = workers if isinstance(workers, int) else workers[1]
    plan = plan_work([(shard, rows) for shard, rows in shards if rows], queries.shape, k, most)
    what = repr((plan, k, dimensions, by_document, _digest(queries, plan)))
    lists = Lists(records, f"search-{content_hash(what)}", plan, k, dimensions, by_document)
    return _search(lists, read, queries, workers, device or ("cuda" if gpus else None), gpus)


def _digest(queries: Vectors, plan: Plan) -> str:
    digest = hashlib.sha256()
    for start, stop in plan.blocks:
        digest.update(np.ascontiguousarray(queries[start:stop]).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Lists:
    """The recorded best lists of the search `name`: for a block of queries, those in the stripes [first, last)."""

    records: Records
    name: str
    plan: Plan
    k: int
    dimensions: int
    by_document: bool

    def keep_queries(self, block: int, queries: Vectors) -> None:
        """Puts the block of these queries [Q, D] where workers find it; all blocks may be too many for memory."""
        start, stop = self.plan.blocks[block]
        self.records.write(
            f"{self.name}-{block:06d}", {"queries": prepare(queries[start:stop], self.dimensions, start)}
        )

    def queries(self, block: int) -> Vectors:
        """Unit rows float32 [n, dimensions]."""
        return self.records.read(f"{self.name}-{block:06d}")["queries"]

    def has(self, block: int, first: int, last: int, held: set[str] | None = None) -> bool:
        """Whether they are recorded; `held` are the names of all records, if the caller has asked for them."""
        name = self._place(block, first, last)
        return self.records.has(name) if held is None else name in held

    def keep(self, block: int, first: int, last: int, found: Neighbours) -> None:
        arrays = {"names": found.names, "places": found.places, "scores": found.scores}
        self.records.write(
            self._place(block, first, last), arrays | ({} if found.owners is None else {"owners": found.owners})
        )

    def read(self, block: int, first: int, last: int) -> Neighbours:
        """Those of the stripes together, merged here as far as nobody has done so."""
        if last - first > 1 and not self.has(block, first, last):
            middle = (first + last) // 2
            return self.merge(self.read(block, first, middle), self.read(block, middle, last))
        arrays = self.records.read(self._place(block, first, last))
        return Neighbours(arrays["names"], arrays["places"], arrays["scores"], arrays.get("owners"))

    def merge(self, one: Neighbours, other: Neighbours) -> Neighbours:
        return merge_neighbours(one, other, self.k, by_document=self.by_document)

    def todo(self) -> list[dict[str, int]]:
        """{block, stripe} of what neither is recorded nor part of what is."""
        held, stripes = self.records.names(), len(self.plan.stripes)
        return [
            {"block": block, "stripe": stripe}
            for block in range(len(self.plan.blocks))
            for stripe in range(stripes)
            if not any(self.has(block, *node, held) for node in [(stripe, stripe + 1), *parents(stripe, stripes)])
        ]

    def _place(self, block: int, first: int, last: int) -> str:
        return f"{self.name}-{block:06d}-{first:06d}-{last:06d}"


def parents(stripe: int, stripes: int) -> list[tuple[int, int]]:
    """The nodes [first, last) above a stripe, from its own parent up to the root; children are halves."""
    first, last, above = 0, stripes, []
    while last - first > 1:
        above.append((first, last))
        middle = (first + last) // 2
        first, last = (first, middle) if stripe < middle else (middle, last)
    return above[::-1]


def _search(
    lists: Lists, read: ReadShard[Any], queries: Vectors, workers: Workers, device: str | None, gpus: float
) -> Iterator[Neighbours]:
    plan = lists.plan
    if not plan.stripes or not plan.blocks:
        yield from (nobody(stop - start, lists.k) for start, stop in plan.blocks)
        return
    todo = lists.todo()
    left = [0] * len(plan.blocks)
    for item in todo:
        left[item["block"]] += 1
    for block in sorted({item["block"] for item in todo}):
        lists.keep_queries(block, queries)
    arguments = {"read": read, "lists": lists, "device": device}
    found = spread(todo, SearchStripe, arguments, workers=workers, gpus=gpus) if todo else iter(())
    results = track(((_count([row], plan), row) for row in found), _count(todo, plan), "search", "queries")
    for block in range(len(plan.blocks)):
        while left[block]:
            left[next(results)["block"]] -= 1
        yield lists.read(block, 0, len(plan.stripes))
    for _ in results:  # so that the bar ends
        pass


def _count(items: Sequence[dict[str, int]], plan: Plan) -> int:
    """Queries of the items, those of each stripe."""
    return sum(plan.blocks[item["block"]][1] - plan.blocks[item["block"]][0] for item in items)


def prepare(queries: Vectors, dimensions: int, start: int) -> Vectors:
    """Unit rows of queries [n, D], of which the first is number `start`. Raises DataError for one of no use."""
    rows, useless = unit_rows(queries, dimensions)
    if len(useless):
        raise DataError(
            f"query {start + int(useless[0])}: its embedding is not finite or has no length, expected finite numbers; "
            "encode it again."
        )
    return rows


class SearchStripe:
    """Does {block, stripe}: records the block's best lists in that stripe, and what can be merged with them."""

    def __init__(self, read: ReadShard[Any], lists: Lists, device: str | None) -> None:
        self.read, self.lists = read, lists
        self.library: Library = with_numpy if device is None else partial(with_torch, device=device)
        self.held: tuple[Sequence[Any], Corpus] | None = None

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        block, stripe = int(item["block"]), int(item["stripe"])
        if not self.lists.has(block, stripe, stripe + 1):
            self.lists.keep(block, stripe, stripe + 1, self._find(block, stripe))
        self._climb(block, stripe)
        return {"block": block, "stripe": stripe}

    def _find(self, block: int, stripe: int) -> Neighbours:
        lists, queries = self.lists, self.lists.queries(block)
        best: Neighbours | None = None
        for shards in lists.plan.stripes[stripe]:
            worst = None if best is None else best.scores[:, -1]
            found = find_neighbours(queries, self._read(shards), lists.k, worst=worst, library=self.library)
            best = found if best is None else lists.merge(best, found)
        assert best is not None
        return best

    def _climb(self, block: int, stripe: int) -> None:
        """Merges while the other half is there. Of two workers that end together one at least sees both."""
        for first, last in parents(stripe, len(self.lists.plan.stripes)):
            middle = (first + last) // 2
            if not (self.lists.has(block, first, middle) and self.lists.has(block, middle, last)):
                return
            if not self.lists.has(block, first, last):
                self.lists.keep(block, first, last, self.lists.read(block, first, last))

    def _read(self, shards: Sequence[Any]) -> Corpus:
        """A part of the corpus; the last one read is kept for the next item."""
        if self.held is None or self.held[0] is not shards:
            self.held = None  # two at a time are too many
            parts = map(self.read, shards)
            self.held = shards, Corpus.of(parts, self.lists.dimensions, by_document=self.lists.by_document)
        return self.held[1]
