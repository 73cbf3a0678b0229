"""The exact search under mining, against the machine's multiply rate and sentence-transformers' `mine_hard_negatives`.

All on the same made-up embeddings, in one run. Ours goes over an embedding table with actors that have started and have
done a small search; the time is from the first item to the last merged list. Theirs runs in a process of its own, with
as many threads as ours has workers, on embeddings in memory: its model has them at hand, so that nothing is encoded.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.search import write_table
from jobs.session import ray_session
from medembed.encoding.table import Table, read_shard
from medembed.search.exact import Plan, SearchStripe, _in_order, _prepare, plan_work
from medembed.search.neighbours import Neighbours
from tests.tiny import make_encoder

Vectors = npt.NDArray[np.float32]
_SIDE = 4096
_FLOP = 2  # of a multiply and an addition


@click.command()
@click.option("--documents", default=100_000, show_default=True)
@click.option("--queries", default=10_000, show_default=True)
@click.option("--width", default=384, show_default=True)
@click.option("--k", default=100, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--runs", default=3, show_default=True, help="of ours and theirs, in turn")
@click.option("--theirs/--no-theirs", "has_theirs", default=True, show_default=True)
@click.option("--series/--no-series", "has_series", default=True, show_default=True, help="4 sizes of the corpus")
@click.option("--only", type=click.Choice(["rate", "theirs"]), help="a part, as this script starts it itself")
@click.option("--folder", default="", help="of that part's embeddings")
def main(
    documents: int, queries: int, width: int, k: int, workers: int, runs: int, has_theirs: bool, has_series: bool,
    only: str | None, folder: str,
) -> None:  # fmt: skip
    """Prints rates, seconds, shares and peaks of memory."""
    if only == "rate":
        print(json.dumps(rates(width)))
    elif only == "theirs":
        print(json.dumps(mine_theirs(Path(folder), k)))
    else:
        with ray_session(None):
            compare(documents, queries, width, k, workers, runs, has_theirs)
            for share in (0.5, 1, 2, 4) if has_series else ():
                measure(int(documents * share), max(1, queries // 10), width, k, workers)


def compare(documents: int, queries: int, width: int, k: int, workers: int, runs: int, has_theirs: bool) -> None:
    """The multiply's rate, then ours and theirs in turn."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        rate = fastest(width, workers)
        flop = _FLOP * documents * queries * width
        vectors, asked = draw(documents, width, 0), draw(queries, width, 1)
        np.save(f"{scratch}/documents.npy", vectors)
        np.save(f"{scratch}/queries.npy", asked)
        table = write_table(f"{scratch}/table.lance", vectors)
        ours, theirs = [], []
        for _ in range(runs):
            seconds, peak = search(table, asked, k, workers)
            ours.append(seconds)
            print(
                f"ours: {seconds:.2f} s, {flop / seconds / 1e9:.0f} GFLOP/s, {flop / seconds / rate:.0%} of the "
                f"multiply's rate, peak {peak:.2f} GiB a worker",
                flush=True,
            )
            if has_theirs:
                found = start_part("theirs", workers, ["--folder", scratch, "--k", str(k)])
                theirs.append(found["inner"])
                print(
                    f"theirs: {found['inner']:.2f} s for products and topk, {found['whole']:.2f} s as a whole, peak "
                    f"{found['gib']:.2f} GiB",
                    flush=True,
                )
    if theirs:
        ratios = sorted(other / one for one, other in zip(ours, theirs, strict=True))
        print(f"ours is {np.median(ratios):.2f} times as fast as their products and topk: {ratios}")


def measure(documents: int, queries: int, width: int, k: int, workers: int) -> None:
    """Ours at one size, with new workers."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        table = write_table(f"{scratch}/table.lance", draw(documents, width, 0))
        seconds, peak = search(table, draw(queries, width, 1), k, workers)
    print(f"{documents:,} documents, {queries:,} queries: {seconds:.2f} s, peak {peak:.2f} GiB a worker", flush=True)


def search(table: Table, queries: Vectors, k: int, workers: int) -> tuple[float, float]:
    """(seconds, GiB of the largest worker) of one search."""
    import ray

    shards = [(shard, shard["rows"]) for shard in table.shards()]
    width = queries.shape[1]
    plan = plan_work(shards, queries.shape, k, workers)
    warm = Plan([[[shards[0][0]]]], [(0, 64)])
    blocks = [ray.put(_prepare(queries[start:stop], width, start)) for start, stop in plan.blocks]
    few = [ray.put(_prepare(queries[:64], width, 0))]
    actors = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(workers)]
    ray.get([actor.set_up.remote(few, warm.stripes, k, width) for actor in actors])
    ray.get([actor.search.remote({"block": 0, "stripe": 0}) for actor in actors])
    ray.get([actor.set_up.remote(blocks, plan.stripes, k, width) for actor in actors])
    start = time.perf_counter()
    found = list(_in_order(deal(actors, plan), plan, k, by_document=False))
    seconds = time.perf_counter() - start
    check(found, table, queries)
    peak = max(ray.get([actor.peak_gib.remote() for actor in actors]))
    for actor in actors:
        ray.kill(actor)
    return seconds, peak


class Worker:
    """The stage of a search and this process's memory."""

    def set_up(self, blocks: Any, stripes: Any, k: int, width: int) -> None:
        self.stage = SearchStripe(read_shard, blocks, stripes, k, width, by_document=False, device=None)

    def search(self, item: dict[str, Any]) -> dict[str, Any]:
        return self.stage(item)

    def peak_gib(self) -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def deal(actors: list[Any], plan: Plan) -> Iterator[dict[str, Any]]:
    """Results of all items, each done by the actor that is free first."""
    import ray

    items = [{"block": b, "stripe": s} for b in range(len(plan.blocks)) for s in range(len(plan.stripes))]
    idle, running = list(actors), {}
    while items or running:
        while items and idle:
            actor = idle.pop()
            running[actor.search.remote(items.pop(0))] = actor
        (done,), _ = ray.wait(list(running))
        idle.append(running.pop(done))
        yield ray.get(done)


def check(found: list[Neighbours], table: Table, queries: Vectors) -> None:
    """The first query's scores are those of all its products, sorted."""
    products = np.concatenate([read_shard(shard)[1] @ queries[0] for shard in table.shards()])
    best = np.sort(products)[::-1][: found[0].scores.shape[1]]
    assert np.allclose(found[0].scores[0], best, atol=1e-5)


def fastest(width: int, workers: int) -> float:
    """FLOP/s of the machine: the most that one process of all threads, or one process per worker, reaches."""
    one = start_part("rate", workers, ["--width", str(width)])
    together = [open_part("rate", 1, ["--width", str(width)]) for _ in range(workers)]
    each = [json.loads(part.communicate()[0].splitlines()[-1]) for part in together]
    found = {f"{name}, 1 process": rate for name, rate in one.items()}
    found |= {f"{name}, {workers} processes": sum(part[name] for part in each) for name in one}
    for name, rate in found.items():
        print(f"multiply by {name}: {rate / 1e9:.0f} GFLOP/s", flush=True)
    return max(found.values())


def rates(width: int) -> dict[str, float]:
    """FLOP/s of NumPy and torch over about 2 seconds each."""
    import torch

    left, right = draw(_SIDE, width, 0), draw(_SIDE, width, 1)
    tensors = torch.from_numpy(left), torch.from_numpy(right)
    ways = {"NumPy": lambda: left @ right.T, "torch": lambda: torch.mm(tensors[0], tensors[1].T)}
    found = {}
    for name, multiply in ways.items():
        multiply()
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < 2:
            multiply()
            done += 1
        found[name] = done * _FLOP * _SIDE * _SIDE * width / (time.perf_counter() - start)
    return found


def mine_theirs(folder: Path, k: int) -> dict[str, float]:
    """Seconds of `mine_hard_negatives`, of its products and topk alone, and the peak of memory."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    documents, queries = np.load(folder / "documents.npy"), np.load(folder / "queries.npy")

    class Given(SentenceTransformer):
        """Gives these embeddings for the texts, which are numbered in the order in which it is asked for them."""

        def encode_document(self, texts: list[str], **_: Any) -> Vectors:
            return documents[[int(text[1:]) for text in texts]]

        def encode_query(self, texts: list[str], **_: Any) -> Vectors:
            return queries[[int(text[1:]) for text in texts]]

    with tempfile.TemporaryDirectory() as scratch:
        model = Given(str(make_encoder(Path(scratch) / "tiny")), device="cpu")
    start = time.perf_counter()
    for first in range(0, len(queries), 16_384):
        scores = model.similarity(queries[first : first + 16_384], torch.as_tensor(documents))
        torch.topk(scores, k=k, dim=1)
    inner = time.perf_counter() - start
    del scores
    pairs = Dataset.from_dict(
        {"query": [f"q{n}" for n in range(len(queries))], "positive": [f"d{n}" for n in range(len(queries))]}
    )
    corpus = [f"d{number}" for number in range(len(documents))]
    start = time.perf_counter()
    mine_hard_negatives(pairs, model, corpus=corpus, range_max=k - 1, num_negatives=1, verbose=False)
    whole = time.perf_counter() - start
    return {"inner": inner, "whole": whole, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def start_part(part: str, threads: int, options: list[str]) -> dict[str, float]:
    output, _ = (process := open_part(part, threads, options)).communicate()
    if process.returncode:
        raise SystemExit(f"the part {part!r} failed with exit status {process.returncode}")
    return json.loads(output.splitlines()[-1])


def open_part(part: str, threads: int, options: list[str]) -> "subprocess.Popen[str]":
    """This script for one part, in a process of so many threads."""
    command = [sys.executable, "-m", "benchmarks.mine_search", "--only", part, *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def draw(rows: int, width: int, seed: int) -> Vectors:
    """Random unit rows."""
    vectors = np.random.default_rng(seed).standard_normal((rows, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
