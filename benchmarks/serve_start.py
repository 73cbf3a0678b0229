"""A server's start: seconds and CPU seconds to its first embedding, and its memory when idle,
against a plain script.

The script is what people write first: FastAPI and sentence-transformers in one process, which has
one model, no swap, no limits, no keys and no check of the model. Both are started in turn; memory
is the sum of the processes' PSS.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import psutil

from benchmarks.fault_injection import kill_tree
from benchmarks.serving import MINILM, free_ports, served
from medembed.encoding.model_files import fetch_model

_SCRIPT = """
import sys, uvicorn
from fastapi import FastAPI
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(sys.argv[1], device="cpu")

@app.post("/v1/embeddings")
def embed(body: dict):
    vectors = model.encode([body["input"]], normalize_embeddings=True)
    return {"data": [{"embedding": vector.tolist()} for vector in vectors]}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""
_BODY = json.dumps({"model": "medembed", "input": "my gums bleed"}).encode()
_LONGEST_S = 300


class Server(NamedTuple):
    """Where it answers, and its first process."""

    url: str
    process: psutil.Process


class Start(NamedTuple):
    """What one start took."""

    seconds: float
    cpu_s: float
    idle_mb: float


@contextmanager
def ours() -> Iterator[Server]:
    """Start `medembed serve` with its defaults."""
    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as workspace,
        served(Path(workspace), f"model={MINILM}") as running,
    ):
        yield Server(running.url, running.process)


@contextmanager
def script() -> Iterator[Server]:
    """Start the plain script."""
    (port,) = free_ports(1)
    command = [sys.executable, "-c", _SCRIPT, str(fetch_model(MINILM)), str(port)]
    job = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        yield Server(f"http://127.0.0.1:{port}", psutil.Process(job.pid))
    finally:
        kill_tree(job)


def measure(start: Callable[[], AbstractContextManager[Server]], idle_s: float) -> Start:
    """Start it, wait for its first embedding, then leave it alone for a while."""
    begin = time.monotonic()
    with start() as server:
        wait(server)
        seconds = time.monotonic() - begin
        cpu_s = sum(map(cpu_of, processes(server)))
        time.sleep(idle_s)
        idle = sum(process.memory_full_info().pss for process in processes(server))
    return Start(seconds, cpu_s, idle / 1e6)


def wait(server: Server) -> None:
    """Returns when it has answered."""
    request = urllib.request.Request(
        f"{server.url}/v1/embeddings", _BODY, {"Content-Type": "application/json"}
    )
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"no answer within {_LONGEST_S} s")


def processes(server: Server) -> list[psutil.Process]:
    """Return all of them that live."""
    return [server.process, *server.process.children(recursive=True)]


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="each starts both once")
@click.option(
    "--idle", "idle_s", default=30.0, show_default=True, help="seconds before memory is read"
)
def main(rounds: int, idle_s: float) -> None:
    """Prints the medians of both, and of the ratios within a round."""
    starts: dict[str, list[Start]] = {"medembed serve": [], "script": []}
    for _ in range(rounds):
        starts["medembed serve"].append(measure(ours, idle_s))
        starts["script"].append(measure(script, idle_s))
    for name, rows in starts.items():
        medians = Start(*map(statistics.median, zip(*rows, strict=True)))
        print(
            f"{name}: {medians.seconds:.1f} s, {medians.cpu_s:.1f} CPU s, "
            f"{medians.idle_mb:,.0f} MB idle"
        )
    pairs = list(zip(starts["medembed serve"], starts["script"], strict=True))
    for field in Start._fields:
        ratios = [getattr(own, field) / getattr(other, field) for own, other in pairs]
        print(
            f"{field}: {statistics.median(ratios):.2f} times ({min(ratios):.2f} to "
            f"{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
