"""Exact best lists over a cluster: the same bytes however the corpus is cut into shards, blocks and workers.

Work is cut both ways: into stripes of the corpus and blocks of queries. A worker goes through the shards of a stripe
with a block's running best lists; the driver puts together the stripes of a block. Neither has all embeddings or all
scores in memory.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medembed.errors import ConfigError, DataError
from medembed.matryoshka import check_dimensions
from medembed.progress import track
from medembed.search.multiply import Library, with_numpy, with_torch
from medembed.search.neighbours import Corpus, Neighbours, find_neighbours, merge_neighbours, nobody
from medembed.search.precise import Vectors, unit_rows
from medembed.search.sharded import ReadShard, Shard
from medembed.spread import Workers, spread

_PART_BYTES = 160 << 20  # of float32 embeddings that a worker holds at a time
_QUERIES_PER_BLOCK = 16_384
_SCORES_PER_BLOCK = 4_000_000  # k x queries
_ITEMS_PER_WORKER = 2
_SCORES_PER_ITEM = 2e10  # minutes of one CPU: what is done again when a worker dies
_FEWEST_QUERIES = 512  # in a block: fewer make a slow multiply
_READ_COST = 5  # of a row, read and sorted: as much as so many candidates that are scored again


@dataclass(frozen=True)
class Plan:
    """Stripes of the corpus, each a list of parts, each a list of shards; bounds of the query blocks."""

    stripes: list[list[list[Any]]]
    blocks: list[tuple[int, int]]


def nearest_rows(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: Vectors,
    k: int,
    dimensions: int,
    *,
    by_document: bool = False,
    workers: Workers = 2,
    device: str | None = None,
) -> Iterator[Neighbours]:
    """The k best rows of each query [Q, D], or documents by their best rows, in consecutive blocks of queries.

    `shards` are (shard, its rows), `read` gives a shard's ids and embeddings [n, D], on the workers. Both sides are
    truncated to `dimensions`. Order: float64 score (`pair_scores`) falling, then id rising. Workers multiply with
    NumPy, or with torch on `device`; "cuda" takes a GPU for each. Raises ModelError for dimensions above D, ConfigError
    for k below 1, DataError for a query and StorageError for a row that is not finite.
    """
    check_dimensions([dimensions], queries.shape[1])
    if k < 1:
        raise ConfigError(f"k: found {k}, expected at least 1.")
    most = workers if isinstance(workers, int) else workers[1]
    plan = plan_work([(shard, rows) for shard, rows in shards if rows], queries.shape, k, most)
    return _search(plan, read, queries, k, dimensions, by_document, workers, device)


def plan_work(shards: Sequence[tuple[Any, int]], queries: tuple[int, ...], k: int, workers: int) -> Plan:
    """How a search for queries [Q, D] is cut up; it decides cost and memory, and changes no result.

    Each item reads its stripe, unless its worker still has it; each stripe scores k candidates of each query again.
    The cheapest number of stripes is taken that leaves some items for each worker.
    """
    count, width = queries
    rows = sum(size for _, size in shards)
    part_rows = max(1, _PART_BYTES // (4 * width))
    most = max(1, min(_QUERIES_PER_BLOCK, _SCORES_PER_BLOCK // k))
    items = _ITEMS_PER_WORKER * workers
    fewest = max(
        1,
        -(-items // max(1, -(-count // _FEWEST_QUERIES))),
        math.ceil(min(count, most) * rows / _SCORES_PER_ITEM),
    )
    last = max(1, len(shards))
    choices = range(min(fewest, last), min(max(items, fewest), last) + 1)
    sizes = {stripes: min(most, max(_FEWEST_QUERIES, -(-count * stripes // items))) for stripes in choices}
    reads = {stripes: stripes * -(-count // size) for stripes, size in sizes.items()}
    if 1 in reads and rows <= part_rows:  # it stays with the workers
        reads[1] = min(reads[1], workers)
    stripes = min(choices, key=lambda n: reads[n] * rows / n * _READ_COST + count * k * n)
    groups = cut(shards, -(-rows // stripes))
    return Plan(
        [[[shard for shard, _ in part] for part in cut(group, part_rows)] for group in groups],
        [(start, min(count, start + sizes[stripes])) for start in range(0, count, sizes[stripes])],
    )


def cut(shards: Sequence[tuple[Any, int]], rows: int) -> list[list[tuple[Any, int]]]:
    """Consecutive shards in groups of about so many rows; a shard is never cut."""
    groups: list[list[tuple[Any, int]]] = []
    done, total = 0, 0
    for shard, size in shards:
        if not groups or total + size / 2 > done + rows:
            done = total
            groups.append([])
        groups[-1].append((shard, size))
        total += size
    return groups


def _search(
    plan: Plan,
    read: ReadShard[Any],
    queries: Vectors,
    k: int,
    dimensions: int,
    by_document: bool,
    workers: Workers,
    device: str | None,
) -> Iterator[Neighbours]:
    if not plan.stripes or not plan.blocks:
        yield from (nobody(stop - start, k) for start, stop in plan.blocks)
        return
    import ray

    blocks = [ray.put(_prepare(queries[start:stop], dimensions, start)) for start, stop in plan.blocks]
    stripes = range(len(plan.stripes))
    items = [{"block": block, "stripe": stripe} for block in range(len(blocks)) for stripe in stripes]
    arguments = {"read": read, "blocks": blocks, "stripes": plan.stripes, "k": k, "dimensions": dimensions}
    arguments |= {"by_document": by_document, "device": device}
    gpus = 1 if (device or "").startswith("cuda") else 0
    results = spread(items, SearchStripe, arguments, workers=workers, gpus=gpus)
    yield from _in_order(results, plan, k, by_document)


def _in_order(results: Iterator[dict[str, Any]], plan: Plan, k: int, by_document: bool) -> Iterator[Neighbours]:
    """Each block's neighbours once all its stripes have come, in the order of the blocks."""
    left = [len(plan.stripes)] * len(plan.blocks)
    best: dict[int, Neighbours] = {}
    done = 0
    sizes = ((plan.blocks[row["block"]][1] - plan.blocks[row["block"]][0], row) for row in results)
    total = plan.blocks[-1][1] * len(plan.stripes) if plan.blocks else 0
    for row in track(sizes, total, "search", "queries"):
        block, found = row["block"], unpack(row["found"])
        best[block] = merge_neighbours(best[block], found, k, by_document=by_document) if block in best else found
        left[block] -= 1
        while done < len(left) and not left[done]:
            yield best.pop(done)
            done += 1


def _prepare(queries: Vectors, dimensions: int, start: int) -> Vectors:
    rows, useless = unit_rows(queries, dimensions)
    if len(useless):
        raise DataError(
            f"query {start + int(useless[0])}: its embedding is not finite or has no length, expected finite numbers; "
            "encode it again."
        )
    return rows


class SearchStripe:
    """Turns {block, stripe} into {block, found}: the block's best lists in that stripe."""

    def __init__(
        self,
        read: ReadShard[Any],
        blocks: Sequence[Any],
        stripes: Sequence[Sequence[Sequence[Any]]],
        k: int,
        dimensions: int,
        by_document: bool,
        device: str | None,
    ) -> None:
        self.read, self.blocks, self.stripes, self.k = read, blocks, stripes, k
        self.dimensions, self.by_document = dimensions, by_document
        self.library: Library = with_numpy if device is None else partial(with_torch, device=device)
        self.held: tuple[Sequence[Any], Corpus] | None = None

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        import ray

        queries = ray.get(self.blocks[item["block"]])
        best: Neighbours | None = None
        for shards in self.stripes[item["stripe"]]:
            corpus = self._read(shards)
            worst = None if best is None else best.scores[:, -1]
            found = find_neighbours(queries, corpus, self.k, worst=worst, library=self.library)
            best = found if best is None else merge_neighbours(best, found, self.k, by_document=self.by_document)
        assert best is not None
        return {"block": item["block"], "found": pack(best)}

    def _read(self, shards: Sequence[Any]) -> Corpus:
        """A part of the corpus; the last one read is kept for the next item."""
        if self.held is None or self.held[0] is not shards:
            self.held = None  # two at a time are too many
            self.held = shards, Corpus.of(map(self.read, shards), self.dimensions, by_document=self.by_document)
        return self.held[1]


def pack(found: Neighbours) -> bytes:
    """One NumPy archive without pickles; documents are those of their rows."""
    buffer = io.BytesIO()
    arrays = {"names": found.names, "places": found.places, "scores": found.scores}
    np.savez(buffer, allow_pickle=False, **arrays, **({} if found.owners is None else {"owners": found.owners}))
    return buffer.getvalue()


def unpack(packed: bytes) -> Neighbours:
    """What `pack` was given."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return Neighbours(archive["names"], archive["places"], archive["scores"], archive.get("owners"))
