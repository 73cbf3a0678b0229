"""What `benchmarks.mine` compares with, each in a process of its own: the machine's multiply rate,
and sentence-transformers' `mine_hard_negatives` on embeddings in memory.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from tests.tiny import make_encoder

Vectors = npt.NDArray[np.float32]
FLOP = 2  # of a multiply and an addition
_SIDE = 4096
_SECONDS = 2.0


@click.group()
def main() -> None:
    """Prints numbers as JSON."""


@main.command()
@click.argument("width", type=int)
def rate(width: int) -> None:
    """Print the FLOP/s of a multiply by NumPy and by torch."""
    import torch

    left = np.random.default_rng(0).random((_SIDE, width), dtype=np.float32)
    right = np.random.default_rng(1).random((_SIDE, width), dtype=np.float32)
    left_tensor = torch.from_numpy(left)
    right_tensor = torch.from_numpy(right)
    ways = {
        "NumPy": lambda: left @ right.T,
        "torch": lambda: torch.mm(left_tensor, right_tensor.T),
    }
    rates = {}
    for name, multiply in ways.items():
        multiply()
        start = time.perf_counter()
        done = 0
        while time.perf_counter() - start < _SECONDS:
            multiply()
            done += 1
        rates[name] = done * FLOP * _SIDE * _SIDE * width / (time.perf_counter() - start)
    print(json.dumps(rates))


@main.command()
@click.argument("folder", type=Path)
@click.argument("documents", type=int)
@click.argument("k", type=int)
def theirs(folder: Path, documents: int, k: int) -> None:
    """Print the seconds of `mine_hard_negatives` over the first `documents` of a folder, those of
    its products and topk alone, and the peak of memory in GiB.
    """
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    vectors = np.array(np.load(folder / "documents.npy", mmap_mode="r")[:documents])
    queries = np.load(folder / "queries.npy")

    class Given(SentenceTransformer):
        """Gives these embeddings for the texts, which are numbered in the order in which it is
        asked for them.
        """

        def encode_document(self, texts: list[str], **_: Any) -> Vectors:
            return vectors[[int(text[1:]) for text in texts]]

        def encode_query(self, texts: list[str], **_: Any) -> Vectors:
            return queries[[int(text[1:]) for text in texts]]

    with tempfile.TemporaryDirectory() as scratch:
        model = Given(str(make_encoder(Path(scratch) / "tiny")), device="cpu")
    start = time.perf_counter()
    for first in range(0, len(queries), 16_384):
        scores = model.similarity(queries[first : first + 16_384], torch.as_tensor(vectors))
        torch.topk(scores, k=k, dim=1)
    products = time.perf_counter() - start
    del scores
    pairs = Dataset.from_dict(
        {
            "query": [f"q{n}" for n in range(len(queries))],
            "positive": [f"d{n}" for n in range(len(queries))],
        }
    )
    corpus = [f"d{number}" for number in range(documents)]
    start = time.perf_counter()
    mine_hard_negatives(
        pairs, model, corpus=corpus, range_max=k - 1, num_negatives=1, verbose=False
    )
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"products": products, "whole": whole, "gib": peak}))


def fastest(width: int, workers: int) -> float:
    """Return the FLOP/s of the machine: the most that one process of all threads, or one process
    per worker, reaches.
    """
    single = finish(start("rate", workers, width))
    running = [start("rate", 1, width) for _ in range(workers)]
    together = [finish(process) for process in running]
    rates = {}
    for name, rate_of_one in single.items():
        rates[f"{name}, 1 process"] = rate_of_one
        rates[f"{name}, {workers} processes"] = sum(rates_of[name] for rates_of in together)
    for name, flops in rates.items():
        print(f"multiply by {name}: {flops / 1e9:.0f} GFLOP/s", flush=True)
    return max(rates.values())


def start(task: str, threads: int, *arguments: object) -> "subprocess.Popen[str]":
    """Start a process of so many threads that does one task of this file."""
    command = [sys.executable, "-m", "benchmarks.mine_parts", task, *map(str, arguments)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )


def finish(process: "subprocess.Popen[str]") -> dict[str, float]:
    """Return what a task has printed."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} failed with exit status {process.returncode}")
    return dict(json.loads(output.splitlines()[-1]))


if __name__ == "__main__":
    main()
