"""Cut an exact search into stripes of the corpus and blocks of queries. Pure.

It decides cost and memory, and changes no result.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_PART_BYTES = 160 << 20  # of float32 embeddings that a worker holds at a time
_QUERIES_PER_BLOCK = 16_384
_SCORES_PER_BLOCK = 4_000_000  # k x queries
_ITEMS_PER_WORKER = 2
_SCORES_PER_ITEM = 2e10  # minutes of one CPU: what is done again when a worker dies
_FEWEST_QUERIES = 512  # in a block: fewer make a slow multiply
_READ_COST = 5  # of a row, read and sorted: as much as so many candidates that are scored again


@dataclass(frozen=True)
class SearchPlan:
    """Stripes of parts of shards, and the bounds of the query blocks."""

    stripes: list[list[list[Any]]]
    blocks: list[tuple[int, int]]


def plan_work(
    shards: Sequence[tuple[Any, int]], count: int, width: int, k: int, workers: int
) -> SearchPlan:
    """Cut up a search for the k best of `count` queries, by `width` values of each row.

    Each item reads its stripe, unless its worker still has it; each stripe scores k candidates of
    each query again. The cheapest number of stripes is taken that leaves some items for each
    worker.
    """
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
    sizes = {}
    costs = {}
    for stripes in choices:
        sizes[stripes] = min(most, max(_FEWEST_QUERIES, -(-count * stripes // items)))
        reads = stripes * -(-count // sizes[stripes])
        if stripes == 1 and rows <= part_rows:  # it stays with the workers
            reads = min(reads, workers)
        costs[stripes] = reads * rows / stripes * _READ_COST + count * k * stripes
    stripes = min(choices, key=costs.__getitem__)
    size = sizes[stripes]
    return SearchPlan(
        [_parts(group, part_rows) for group in cut(shards, -(-rows // stripes))],
        [(start, min(count, start + size)) for start in range(0, max(1, count), size)],
    )


def cut(shards: Sequence[tuple[Any, int]], rows: int) -> list[list[tuple[Any, int]]]:
    """Put consecutive shards into groups of about so many rows; a shard is never cut."""
    groups: list[list[tuple[Any, int]]] = []
    done = 0
    total = 0
    for shard, size in shards:
        if not groups or total + size / 2 > done + rows:
            done = total
            groups.append([])
        groups[-1].append((shard, size))
        total += size
    return groups


def _parts(group: Sequence[tuple[Any, int]], rows: int) -> list[list[Any]]:
    """Return the shards of a stripe in parts of about so many rows."""
    return [[shard for shard, _ in part] for part in cut(group, rows)]
