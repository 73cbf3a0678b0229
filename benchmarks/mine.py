"""The exact search under mining, against sentence-transformers' `mine_hard_negatives` and the
machine's multiply rate.

All on the same made-up embeddings, in one run. Ours is the whole search from an embedding table to
lists that are recorded and put together, by actors that have done a small search before. Theirs has
the embeddings in memory, and as many threads as ours has workers. `--series` searches corpora of 4
sizes, and draws seconds and memory over documents.

Exits with 1 if ours reaches less than 0.7 of the multiply rate or less than 0.9 times their speed,
or if a worker takes 1 GiB or more than a fifth of their memory; of the series, if a worker takes 2
GiB, or 0.2 GiB more for the largest corpus than for the smallest.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from benchmarks.mine_parts import FLOP, Vectors, fastest, finish, start
from benchmarks.mine_plot import Cost, draw_series, seconds_per_document
from benchmarks.search import ROWS_PER_FRAGMENT, write_parts
from jobs.ray_session import ray_session
from medembed.encoding.table import Shard, read_shard
from medembed.records import Records
from medembed.search import shards as searching
from medembed.search.ranking import Ranking

_SERIES = (0.25, 0.5, 0.75, 1.0)
_WIDTH = 384
_K = 100
_WORKERS = 2
_SERIES_QUERIES = 2000
# Promises.
_LEAST_SHARE = 0.7  # of the multiply rate
_LEAST_SPEED = 0.9  # of theirs
_MOST_MEMORY = 0.2  # of theirs
_MOST_GIB = 1.0  # in a worker
_MOST_GIB_IN_SERIES = 2.0
_MOST_GROWTH_GIB = 0.2


@click.command()
@click.option("--documents", default=100_000, show_default=True)
@click.option("--queries", default=10_000, show_default=True)
@click.option(
    "--runs", default=3, show_default=True, help="of ours and theirs, in turn; 0: only the series"
)
@click.option("--series/--no-series", default=False, show_default=True, help="corpora of 4 sizes")
@click.option("--series-documents", default=1_000_000, show_default=True, help="in the largest")
def main(documents: int, queries: int, runs: int, series: bool, series_documents: int) -> None:
    """Prints rates, seconds, ratios and peaks of memory."""
    missed: list[str] = []
    os.environ.setdefault("LANCE_LOG", "error")  # else a warning for each fragment
    with ray_session(None):
        if runs:
            missed += compare(documents, draw(queries, -1), runs)
        if series:
            missed += follow(series_documents, draw(_SERIES_QUERIES, -1))
    print("\n".join(f"missed: {promise}" for promise in missed) or "all as promised")
    sys.exit(bool(missed))


def compare(documents: int, queries: Vectors, runs: int) -> list[str]:
    """Run ours and theirs in turn, then both with a quarter of the documents; return what was
    missed.
    """
    ours = []
    theirs = []
    rate = fastest(_WIDTH, _WORKERS)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        table = write_parts(f"{scratch}/table.lance", draw_parts(documents))
        np.save(f"{scratch}/documents.npy", np.concatenate(list(draw_parts(documents))))
        np.save(f"{scratch}/queries.npy", queries)
        for _ in range(runs):
            ours.append(search(table.shards(), queries))
            print(f"ours: {ours[-1].seconds:.2f} s, {ours[-1].gib:.2f} GiB a worker", flush=True)
            theirs.append(finish(start("theirs", _WORKERS, scratch, documents, _K)))
            print(
                "theirs: {products:.2f} s for products and topk, {whole:.2f} s as a whole, "
                "{gib:.2f} GiB".format_map(theirs[-1]),
                flush=True,
            )
        shards = table.shards()
        few = search(shards[: -(-len(shards) // 4)], queries)
        theirs_few = finish(start("theirs", _WORKERS, scratch, few.documents, _K))
    print(
        f"memory from {few.documents:,} to {documents:,} documents: ours {few.gib:.2f} to "
        f"{ours[-1].gib:.2f} GiB a worker, theirs {theirs_few['gib']:.2f} to "
        f"{theirs[-1]['gib']:.2f} GiB"
    )
    return judge(ours, theirs, FLOP * documents * len(queries) * _WIDTH / rate)


def judge(ours: Sequence[Cost], theirs: Sequence[dict[str, float]], multiply_s: float) -> list[str]:
    """Print ratios, medians over the runs, and return what was missed; `multiply_s` is what all
    products take.
    """
    share = multiply_s / median(cost.seconds for cost in ours)
    runs = list(zip(ours, theirs, strict=True))
    whole = median(other["whole"] / cost.seconds for cost, other in runs)
    products = median(other["products"] / cost.seconds for cost, other in runs)
    gib = max(cost.gib for cost in ours)
    memory = gib / max(other["gib"] for other in theirs)
    print(
        f"ours reaches {share:.0%} of the multiply rate; it is {whole:.2f} times as fast as "
        f"mine_hard_negatives, {products:.2f} times as fast as its products and topk alone; a "
        f"worker takes {memory:.0%} of their memory",
        flush=True,
    )
    missed = []
    if share < _LEAST_SHARE:
        missed.append(f"share of the multiply rate: {share:.2f}, expected {_LEAST_SHARE} or more")
    if whole < _LEAST_SPEED:
        missed.append(f"times their speed: {whole:.2f}, expected {_LEAST_SPEED} or more")
    if gib >= _MOST_GIB:
        missed.append(f"GiB a worker: {gib:.2f}, expected less than {_MOST_GIB}")
    if memory > _MOST_MEMORY:
        missed.append(f"share of their memory: {memory:.2f}, expected {_MOST_MEMORY} or less")
    return missed


def follow(documents: int, queries: Vectors) -> list[str]:
    """Search more and more rows of one table; return what was missed."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        table = write_parts(f"{scratch}/table.lance", draw_parts(documents))
        shards = table.shards()
        costs = []
        for share in _SERIES:
            costs.append(search(shards[: round(share * len(shards))], queries))
            print(
                f"{costs[-1].documents:,} documents, {len(queries):,} queries: "
                f"{costs[-1].seconds:.2f} s, {costs[-1].gib:.2f} GiB a worker",
                flush=True,
            )
    slope = seconds_per_document(costs)
    apart = max(abs(cost.seconds / (slope * cost.documents) - 1) for cost in costs)
    print(
        f"{slope * 1e6:.1f} s for a million documents; no size is more than {apart:.0%} from "
        "that line",
        flush=True,
    )
    draw_series(costs, len(queries))
    gib = max(cost.gib for cost in costs)
    growth = costs[-1].gib - costs[0].gib
    missed = []
    if gib >= _MOST_GIB_IN_SERIES:
        missed.append(f"GiB a worker: {gib:.2f}, expected less than {_MOST_GIB_IN_SERIES}")
    if growth > _MOST_GROWTH_GIB:
        missed.append(f"memory grows by {growth:.2f} GiB a worker")
    return missed


def search(shards: Sequence[Shard], queries: Vectors) -> Cost:
    """Measure a search of these shards by new actors that have searched one shard for a few queries
    before.
    """
    import ray

    sized = [(shard, shard["rows"]) for shard in shards]
    actors = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(_WORKERS)]

    def spread(
        items: list[dict[str, Any]], stage: type, arguments: dict[str, Any], **_: Any
    ) -> Iterator[Any]:
        return deal(actors, items, stage, arguments)

    def run(asked: Vectors, chosen: Sequence[tuple[Shard, int]], folder: str) -> Iterator[Ranking]:
        answers = searching.search_shards(
            chosen,
            read_shard,
            asked,
            _K,
            [_WIDTH],
            by_document=True,
            records=Records(folder),
            workers=_WORKERS,
        )
        return (answer.rankings[_WIDTH] for answer in answers)

    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch,
        patch.object(searching, "spread", spread),
        patch.object(searching, "_ROWS_HERE", 0),
    ):
        for number in range(_WORKERS):  # each actor has its turn
            list(run(queries[number : number + 64], sized[:1], f"{scratch}/{number}"))
            actors.append(actors.pop(0))
        begin = time.perf_counter()
        blocks = run(queries, sized, f"{scratch}/search")
        first = next(blocks)
        for _ in blocks:
            pass
        seconds = time.perf_counter() - begin
    check(first, shards, queries[0])
    peak = max(ray.get([actor.peak_gib.remote() for actor in actors]))
    for actor in actors:
        ray.kill(actor)
    return Cost(sum(rows for _, rows in sized), seconds, peak)


class Worker:
    """A stage of `spread` and this process's memory."""

    def set_up(self, stage: type, arguments: dict[str, Any]) -> None:
        self.stage = stage(**arguments)

    def do(self, item: dict[str, Any]) -> dict[str, Any]:
        return self.stage(item)

    def peak_gib(self) -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def deal(
    actors: Sequence[Any], items: Sequence[dict[str, Any]], stage: type, arguments: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do as `spread` does, by these actors: each item by the actor that is free first."""
    import ray

    ray.get([actor.set_up.remote(stage, arguments) for actor in actors])
    waiting = list(items)
    idle = list(actors)
    running = {}
    while waiting or running:
        while waiting and idle:
            actor = idle.pop(0)
            running[actor.do.remote(waiting.pop(0))] = actor
        (done,), _ = ray.wait(list(running))
        idle.append(running.pop(done))
        yield ray.get(done)


def check(ranking: Ranking, shards: Sequence[Shard], query: Vectors) -> None:
    """Check that the first query's scores are those of all its products, sorted."""
    products = np.concatenate([read_shard(shard)[1] @ query for shard in shards])
    best = np.sort(products)[::-1][: ranking.scores.shape[1]]
    assert np.allclose(ranking.scores[0], best, atol=1e-5)


def draw_parts(documents: int) -> Iterator[Vectors]:
    """Draw random unit rows, a fragment at a time."""
    for number, first in enumerate(range(0, documents, ROWS_PER_FRAGMENT)):
        yield draw(min(ROWS_PER_FRAGMENT, documents - first), number)


def draw(rows: int, seed: int) -> Vectors:
    """Draw random unit rows."""
    random = np.random.default_rng(seed % 2**32)
    vectors = random.standard_normal((rows, _WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
