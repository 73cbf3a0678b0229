"""How an exact search is cut up: into stripes of the corpus and blocks of queries. Pure.

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
class Plan:
    """Stripes of the corpus, each a list of parts, each a list of shards; bounds of the query blocks."""

    stripes: list[list[list[Any]]]
    blocks: list[tuple[int, int]]


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
