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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from benchmarks.mine_parts import FLOP, Vectors, fastest, finish, start
from benchmarks.search import ROWS_PER_FRAGMENT, write_parts
from jobs.ray_session import ray_session
from medembed.encoding.table import Shard, Table, read_shard
from medembed.records import Records
from medembed.search import shards as searching
from medembed.search.ranking import Ranking

_SERIES = (0.25, 0.5, 0.75, 1.0)
_SHARE, _SPEED, _MEMORY = 0.7, 0.9, 0.2  # of the multiply rate; and of theirs
_MOST_GIB, _MOST_GIB_IN_SERIES, _GROWTH_GIB = 1.0, 2.0, 0.2


@dataclass(frozen=True)
class Cost:
    """What a search took; `gib` is the peak of its largest worker, libraries included."""

    documents: int
    seconds: float
    gib: float


@click.command()
@click.option("--documents", default=100_000, show_default=True)
@click.option("--queries", default=10_000, show_default=True)
@click.option("--width", default=384, show_default=True)
@click.option("--k", default=100, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option(
    "--runs", default=3, show_default=True, help="of ours and theirs, in turn; 0: only the series"
)
@click.option("--series/--no-series", default=False, show_default=True, help="corpora of 4 sizes")
@click.option("--series-documents", default=1_000_000, show_default=True, help="in the largest")
@click.option("--series-queries", default=2000, show_default=True)
@click.option(
    "--plot", default="mine-series.png", show_default=True, help="file of the series' figure"
)
def main(
    documents: int,
    queries: int,
    width: int,
    k: int,
    workers: int,
    runs: int,
    series: bool,
    series_documents: int,
    series_queries: int,
    plot: str,
) -> None:
    """Prints rates, seconds, ratios and peaks of memory."""
    missed: list[str] = []
    os.environ.setdefault("LANCE_LOG", "error")  # else a warning for each fragment
    with ray_session(None):
        if runs:
            missed += compare(documents, draw(queries, width, -1), k, workers, runs)
        if series:
            missed += follow(series_documents, draw(series_queries, width, -1), k, workers, plot)
    print("\n".join(f"missed: {one}" for one in missed) or "all as promised")
    sys.exit(bool(missed))


def compare(documents: int, queries: Vectors, k: int, workers: int, runs: int) -> list[str]:
    """Ours and theirs in turn, then their memory with a quarter of the documents; returns what was
    missed.
    """
    width, ours, theirs = queries.shape[1], [], []
    rate = fastest(width, workers)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        table = write_parts(f"{scratch}/table.lance", draw_parts(documents, width))
        np.save(f"{scratch}/documents.npy", np.concatenate(list(draw_parts(documents, width))))
        np.save(f"{scratch}/queries.npy", queries)
        for _ in range(runs):
            ours.append(search(table, table.shards(), queries, k, workers))
            print(f"ours: {ours[-1].seconds:.2f} s, {ours[-1].gib:.2f} GiB a worker", flush=True)
            theirs.append(finish(start("theirs", workers, scratch, documents, k)))
            print(
                (
                    "theirs: {products:.2f} s for products and topk, {whole:.2f} s as a whole, "
                    "{gib:.2f} GiB"
                ).format_map(theirs[-1]),
                flush=True,
            )
        part = table.shards()[: -(-len(table.shards()) // 4)]
        few = search(table, part, queries, k, workers)
        theirs_few = finish(start("theirs", workers, scratch, few.documents, k))
    print(
        f"memory from {few.documents:,} to {documents:,} documents: ours {few.gib:.2f} to "
        f"{ours[-1].gib:.2f} GiB a worker, theirs {theirs_few['gib']:.2f} to "
        f"{theirs[-1]['gib']:.2f} GiB"
    )
    return judge(ours, theirs, FLOP * documents * len(queries) * width / rate)


def judge(ours: Sequence[Cost], theirs: Sequence[dict[str, float]], multiply_s: float) -> list[str]:
    """Prints ratios, medians over the runs, and returns what was missed; `multiply_s` is what all
    products take.
    """
    share = multiply_s / median(one.seconds for one in ours)
    whole, products = (
        median(other[name] / one.seconds for one, other in zip(ours, theirs, strict=True))
        for name in ("whole", "products")
    )
    gib = max(one.gib for one in ours)
    memory = gib / max(one["gib"] for one in theirs)
    print(
        f"ours reaches {share:.0%} of the multiply rate; it is {whole:.2f} times as fast as "
        f"mine_hard_negatives, {products:.2f} times as fast as its products and topk alone; a "
        f"worker takes {memory:.0%} of their memory",
        flush=True,
    )
    promises = (
        ("share of the multiply rate", share, f"at least {_SHARE}", share >= _SHARE),
        ("times their speed", whole, f"at least {_SPEED}", whole >= _SPEED),
        ("GiB a worker", gib, f"less than {_MOST_GIB}", gib < _MOST_GIB),
        ("share of their memory", memory, f"at most {_MEMORY}", memory <= _MEMORY),
    )
    return [
        f"{what}: {found:.2f}, expected {wanted}"
        for what, found, wanted, is_met in promises
        if not is_met
    ]


def follow(documents: int, queries: Vectors, k: int, workers: int, plot: str) -> list[str]:
    """Searches the first rows of one table, more and more of them; returns what was missed."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        table = write_parts(f"{scratch}/table.lance", draw_parts(documents, queries.shape[1]))
        shards, costs = table.shards(), []
        for share in _SERIES:
            costs.append(search(table, shards[: round(share * len(shards))], queries, k, workers))
            print(
                f"{costs[-1].documents:,} documents, {len(queries):,} queries: "
                f"{costs[-1].seconds:.2f} s, {costs[-1].gib:.2f} GiB a worker",
                flush=True,
            )
    slope = seconds_per_document(costs)
    apart = max(abs(one.seconds / (slope * one.documents) - 1) for one in costs)
    print(
        (
            f"{slope * 1e6:.1f} s for a million documents; no size is more than {apart:.0%} from "
            "that line"
        ),
        flush=True,
    )
    draw_series(costs, len(queries), plot)
    gib, growth = max(one.gib for one in costs), costs[-1].gib - costs[0].gib
    missed = (
        [f"GiB a worker: {gib:.2f}, expected less than {_MOST_GIB_IN_SERIES}"]
        if gib >= _MOST_GIB_IN_SERIES
        else []
    )
    return missed + ([f"memory grows by {growth:.2f} GiB a worker"] if growth > _GROWTH_GIB else [])


def seconds_per_document(costs: Sequence[Cost]) -> float:
    """The slope of the line through the origin that is nearest to these, by least squares."""
    return sum(one.documents * one.seconds for one in costs) / sum(
        one.documents**2 for one in costs
    )


def draw_series(costs: Sequence[Cost], queries: int, path: str) -> None:
    """Seconds with their line, and memory, over documents, as PNG."""
    from matplotlib.figure import Figure

    documents, slope = [one.documents for one in costs], seconds_per_document(costs)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(
        [0, documents[-1]],
        [0, slope * documents[-1]],
        color="grey",
        linewidth=1,
        label="line through 0",
    )
    left.plot(documents, [one.seconds for one in costs], "o", label="measured")
    left.set(title=f"exact search of {queries:,} queries", ylabel="seconds")
    left.legend()
    right.plot(documents, [one.gib for one in costs], "o-")
    right.set(title="memory of the largest worker", ylabel="peak GiB")
    for axes in (left, right):
        axes.set(xlabel="documents", xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    right.set_ylim(0, max(1.0, 1.2 * max(one.gib for one in costs)))
    figure.savefig(path, dpi=120)


def search(table: Table, shards: Sequence[Shard], queries: Vectors, k: int, workers: int) -> Cost:
    """What a search of these shards costs, by new actors that have searched one shard for a few
    queries before.
    """
    import ray

    sized, width = [(shard, shard["rows"]) for shard in shards], queries.shape[1]
    actors = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(workers)]

    def spread(
        items: list[dict[str, Any]], stage: type, arguments: dict[str, Any], **_: Any
    ) -> Iterator[Any]:
        return deal(actors, items, stage, arguments)

    def run(asked: Vectors, some: Sequence[tuple[Shard, int]], folder: str) -> Iterable[Ranking]:
        answers = searching.search_shards(
            some,
            read_shard,
            asked,
            k,
            [width],
            by_document=True,
            records=Records(folder),
            workers=workers,
        )
        return (answer.rankings[width] for answer in answers)

    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch,
        patch.object(searching, "spread", spread),
        patch.object(searching, "_ROWS_HERE", 0),
    ):
        for number in range(workers):  # each actor has its turn
            list(run(queries[number : number + 64], sized[:1], f"{scratch}/{number}"))
            actors.append(actors.pop(0))
        begin = time.perf_counter()
        first = None
        for block in run(queries, sized, f"{scratch}/search"):
            first = first or block
        seconds = time.perf_counter() - begin
    assert first is not None
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
    """As `spread`, by these actors: results of all items, each done by the actor that is free
    first.
    """
    import ray

    ray.get([actor.set_up.remote(stage, arguments) for actor in actors])
    waiting, idle, running = list(items), list(actors), {}
    while waiting or running:
        while waiting and idle:
            actor = idle.pop(0)
            running[actor.do.remote(waiting.pop(0))] = actor
        (done,), _ = ray.wait(list(running))
        idle.append(running.pop(done))
        yield ray.get(done)


def check(found: Ranking, shards: Sequence[Shard], query: Vectors) -> None:
    """The first query's scores are those of all its products, sorted."""
    products = np.concatenate([read_shard(shard)[1] @ query for shard in shards])
    best = np.sort(products)[::-1][: found.scores.shape[1]]
    assert np.allclose(found.scores[0], best, atol=1e-5)


def draw_parts(documents: int, width: int) -> Iterator[Vectors]:
    """Random unit rows, a fragment at a time."""
    for number, first in enumerate(range(0, documents, ROWS_PER_FRAGMENT)):
        yield draw(min(ROWS_PER_FRAGMENT, documents - first), width, number)


def draw(rows: int, width: int, seed: int) -> Vectors:
    """Random unit rows."""
    vectors = np.random.default_rng(seed % 2**32).standard_normal((rows, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
