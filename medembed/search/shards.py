"""Exact search over a cluster: the same bytes however the corpus is cut into shards, blocks and
workers.

Work is cut both ways: into stripes of the corpus and blocks of queries. A worker goes through the
shards of a stripe with a block's running best lists. Where results are recorded, whoever finds the
other half of two stripes recorded merges the two, as in a tree, and a rerun does only what is not
recorded; else the driver merges what workers send. No process has all embeddings or all scores in
memory.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medembed.errors import ConfigError
from medembed.language import tr
from medembed.matryoshka import check_dimensions
from medembed.progress import track
from medembed.records import Records, unpack
from medembed.schema import content_hash
from medembed.search.corpus import Pairs
from medembed.search.float64_scores import Vectors
from medembed.search.lists import Answer, Asked, Lists
from medembed.search.plan import SearchPlan, plan_work
from medembed.search.ranking import Ranking, nobody, stack
from medembed.search.stripe import Block, ReadShard, SearchStripe, Shard
from medembed.spread import Workers, spread

Do = Callable[[Sequence[dict[str, int]], "Blocks", dict[str, Any]], Iterator[dict[str, Any]]]
_ROWS_HERE = 32_768  # a search of no more may be done in this process: 50 MB of 384 dimensions
_PRODUCTS_HERE = 2e10  # rows x queries x dimensions: a second


def search_shards(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: Vectors,
    k: int,
    dimensions: Sequence[int],
    *,
    pairs: Pairs | None = None,
    by_document: bool = False,
    records: Records | None = None,
    workers: Workers = 2,
    device: str | None = None,
    gpus: float = 0,
) -> Iterator[Answer]:
    """Search for the k best rows, or documents, of each query [Q, D], block after block.

    `shards` are (shard, its rows), `read` gives a shard's ids and embeddings [n, D], on the
    workers. At each dimension both sides are truncated. Order: float64 score (`pair_scores`)
    falling, then id rising. `pairs` are scored in the same pass. Workers multiply with NumPy, or
    with torch on `device`; with `gpus` for each, on these. What they find goes to `records`, if
    there are any, where a rerun for the same shards and queries, with as many workers, finds it.

    Raises ModelError for dimensions above D, ConfigError for k below 1 where no pairs are asked
    for, DataError for a query and StorageError for a row that is not finite.
    """
    check_dimensions(dimensions, queries.shape[1])
    if k < 1 and pairs is None:
        raise ConfigError("k: found {k}, expected at least 1.", k=k)
    pairs = pairs or Pairs(np.zeros(0, np.int64), np.zeros(0, np.str_))
    asked = Asked(k, tuple(dimensions), by_document)
    filled = [(shard, rows) for shard, rows in shards if rows]
    most = workers if isinstance(workers, int) else workers[1]
    depth = max(1, k) * len(dimensions)
    plan = plan_work(filled, len(queries), sum(dimensions), depth, most)
    blocks = Blocks(queries, pairs, plan)
    is_small = not gpus and _is_small(sum(rows for _, rows in filled), len(queries), dimensions)
    if is_small or records is None:
        lists = Lists(None, "", plan, asked)
    else:
        what = repr((plan, asked, _digest(blocks)))
        lists = Lists(records, f"search-{content_hash(what)}", plan, asked)
    do = _do_here if is_small else partial(_do_on_workers, workers=workers, gpus=gpus)
    return _search(lists, read, blocks, device or ("cuda" if gpus else None), do)


def _is_small(rows: int, queries: int, dimensions: Sequence[int]) -> bool:
    """Return whether a search takes less than to start actors for it."""
    return rows <= _ROWS_HERE and rows * queries * sum(dimensions) <= _PRODUCTS_HERE


def rank_shards(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: Vectors,
    k: int,
    dimensions: Sequence[int],
    *,
    by_document: bool = False,
    workers: Workers = 2,
) -> dict[int, Ranking]:
    """Return what all queries find, by dimension: for lists that fit into memory together."""
    blocks = search_shards(
        shards, read, queries, k, dimensions, by_document=by_document, workers=workers
    )
    answers = list(blocks)
    rankings = {}
    for dimension in dimensions:
        rankings[dimension] = stack([answer.rankings[dimension] for answer in answers])
    return rankings


@dataclass(frozen=True)
class Blocks:
    """The queries and pairs, block by block; all may be too many for memory."""

    queries: Vectors
    pairs: Pairs
    plan: SearchPlan

    def __call__(self, number: int) -> Block:
        start, stop = self.plan.blocks[number]
        return Block(start, self.queries[start:stop], self.pairs.within(start, stop))


def _digest(blocks: Blocks) -> str:
    digest = hashlib.sha256()
    for number in range(len(blocks.plan.blocks)):
        block = blocks(number)
        for array in (block.queries, block.pairs.lines, block.pairs.documents):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _search(
    lists: Lists, read: ReadShard[Any], blocks: Blocks, device: str | None, do: Do
) -> Iterator[Answer]:
    plan = lists.plan
    if not plan.stripes:
        for number in range(len(plan.blocks)):
            yield _nobody(blocks(number), lists.asked)
        return
    todo = lists.todo()
    left = [0] * len(plan.blocks)
    for item in todo:
        left[item["block"]] += 1
    results = do(todo, blocks, {"read": read, "lists": lists, "device": device})
    counted = ((_count(row, plan), row) for row in results)
    tracked = track(counted, sum(_count(item, plan) for item in todo), tr("search"), tr("queries"))
    unrecorded: dict[int, Answer] = {}
    for number in range(len(plan.blocks)):
        while left[number]:
            row = next(tracked)
            block = row["block"]
            left[block] -= 1
            if row["lists"]:
                answer = lists.unpacked(block, unpack(row["lists"]))
                best = unrecorded.get(block)
                unrecorded[block] = answer if best is None else lists.merge(best, answer)
        if number in unrecorded:
            yield unrecorded.pop(number)
        else:
            yield lists.read(number, 0, len(plan.stripes))
    for _ in tracked:  # so that the bar ends
        pass


def _count(item: dict[str, Any], plan: SearchPlan) -> int:
    """Return how many queries an item is about."""
    start, stop = plan.blocks[item["block"]]
    return stop - start


def _nobody(block: Block, asked: Asked) -> Answer:
    """Return empty lists for a block of queries."""
    count = len(block.queries)
    rankings = dict.fromkeys(asked.dimensions, nobody(count, asked.k))
    pairs = dict.fromkeys(asked.dimensions, nobody(len(block.pairs.lines), 1))
    return Answer(block.start, block.start + count, rankings, pairs)


def _do_here(
    todo: Sequence[dict[str, int]], blocks: Blocks, arguments: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do the items in this process."""
    return map(SearchStripe(blocks=blocks, **arguments), todo)


def _do_on_workers(
    todo: Sequence[dict[str, int]],
    blocks: Blocks,
    arguments: dict[str, Any],
    *,
    workers: Workers,
    gpus: float,
) -> Iterator[dict[str, Any]]:
    """Do the items on actors, which get the blocks of queries from Ray."""
    import ray

    if not todo:
        return iter(())
    sent = {}
    for item in todo:
        if item["block"] not in sent:
            sent[item["block"]] = ray.put(blocks(item["block"]))
    arguments = arguments | {"blocks": partial(_receive, sent)}
    return spread(todo, SearchStripe, arguments, workers=workers, gpus=gpus)


def _receive(sent: dict[int, Any], number: int) -> Block:
    import ray

    return Block(*ray.get(sent[number]))
