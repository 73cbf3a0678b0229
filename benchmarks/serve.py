"""The embeddings API over HTTP against infinity-emb, on the same model and cores, the client's work
included.

Each server is started alone, in turn, and asked by a client on the same machine: four-word queries
by 1, 8 and 32 callers at a time and 64 texts a request by 4 (closed loop), and queries at random
moments (open loop). Torch against torch, and our best; in int8 a model that `medembed quantize`
made. What Serve and HTTP cost without a model is
measured by a route that does nothing.

infinity needs a virtual environment of its own: python3.11 -m venv infinity && infinity/bin/pip
    install torch==2.13.0 'infinity-emb[torch,server]==0.0.78'
"""

import asyncio
import itertools
import math
import os
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import click

from benchmarks.fault_injection import kill_tree
from benchmarks.load import Load, closed_loop, make_bodies, open_loop
from benchmarks.serving import MINILM, free_ports, served
from medembed.encoding.model_files import fetch_model

NAME = "medembed"
# name -> (texts of a request, callers)
CASES = {
    "1 caller": (1, 1),
    "8 callers": (1, 8),
    "32 callers": (1, 32),
    "64 texts, 4 callers": (64, 4),
}
SERVERS = ("torch", "best", "best, Serve's own proxy", "int8")
IDLE = "32 callers of a route that does nothing"
Start = Callable[[], AbstractContextManager[str]]  # of a server; gives the URL that embeds


@contextmanager
def ours(**arguments: str) -> Iterator[str]:
    """Start `medembed serve` with these arguments; yield its URL."""
    given = {"page": "false", **arguments}
    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as workspace,
        served(Path(workspace), *(f"{key}={value}" for key, value in given.items())) as running,
    ):
        yield f"{running.url}/v1/embeddings"


@contextmanager
def infinity(binary: str, model: str) -> Iterator[str]:
    """Start infinity-emb with torch on CPUs; yield its URL."""
    (port,) = free_ports(1)
    command = [
        binary,
        "v2",
        "--model-id",
        str(fetch_model(model)),
        "--served-model-name",
        NAME,
        "--engine",
        "torch",
        "--device",
        "cpu",
        "--no-bettertransformer",
        "--no-model-warmup",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    url = f"http://127.0.0.1:{port}/embeddings"
    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as folder,
        open(f"{folder}/log", "wb") as log,
    ):
        job = subprocess.Popen(command, cwd=folder, env=os.environ | quiet, stdout=log, stderr=log)
        try:
            _wait(url, job, Path(log.name))
            yield url
        finally:
            kill_tree(job)


def _wait(url: str, job: "subprocess.Popen[bytes]", log: Path) -> None:
    body = make_bodies(1, 1, 4, NAME)[0]
    for _ in range(180):
        try:
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()
            return
        except OSError:
            time.sleep(1)
        if job.poll() is not None:
            break
    raise SystemExit(f"infinity did not start:\n{log.read_text()[-2000:]}")


async def measure(url: str, seconds: float, rate: float) -> dict[str, Load]:
    """Measure each case for so many seconds, after a warm-up, then an open loop at this rate."""
    bodies = {texts: make_bodies(400, texts, 4, NAME) for texts in (1, 64)}
    await closed_loop(url, bodies[1], 8, 2.0)
    await closed_loop(url, bodies[64], 2, 1.0)
    loads = {}
    for name, (texts, callers) in CASES.items():
        loads[name] = await closed_loop(url, bodies[texts], callers, seconds)
    loads[f"open loop, {rate:.0f} a second"] = await open_loop(url, bodies[1], rate, seconds)
    if "/v1/" in url:
        idle_url = url.replace("/v1/embeddings", "/health/live")
        loads[IDLE] = await closed_loop(idle_url, [None], 32, seconds)
    return loads


def table(rounds: Sequence[Mapping[str, Mapping[str, Load]]], against: str) -> str:
    """Return medians over the rounds in Markdown: requests/s, p50, p99, and the ratio to `against`
    within each round.
    """
    lines = [
        "| load | server | requests/s | p50 ms | p99 ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    cases: dict[str, None] = {}
    for loads_of_server in rounds[0].values():
        cases |= dict.fromkeys(loads_of_server)
    for case, server in itertools.product(cases, rounds[0]):
        if case in rounds[0][server]:
            loads = [each[server][case] for each in rounds]
            others = [each[against].get(case) for each in rounds]
            lines.append(f"| {case} | {server} | {_cells(loads, others)} |")
    return "\n".join(lines)


def _cells(loads: Sequence[Load], others: Sequence[Load | None]) -> str:
    """Return the cells of one case and server, beside those of the server to compare with."""
    ratios = []
    failed = 0
    for load, other in zip(loads, others, strict=True):
        ratios.append(load.per_second / other.per_second if other else math.nan)
        failed += load.statuses.total() - load.statuses[200]
    cells = [
        f"{statistics.median(load.per_second for load in loads):,.1f}",
        f"{statistics.median(load.percentile(50) for load in loads):,.1f}",
        f"{statistics.median(load.percentile(99) for load in loads):,.1f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
    ]
    note = f", {failed} failed" if failed else ""
    return " | ".join(cells) + note


@click.command()
@click.option(
    "--infinity", "binary", help="infinity_emb of its own virtual environment; default: ours alone"
)
@click.option("--model", default=MINILM, show_default=True, help="folder or package:// reference")
@click.option(
    "--server",
    "names",
    multiple=True,
    type=click.Choice(SERVERS),
    default=SERVERS[:-1],
    show_default=True,
)
@click.option("--seconds", default=10.0, show_default=True, help="of each case")
@click.option("--rounds", default=3, show_default=True, help="each starts every server once")
@click.option("--rate", default=40.0, show_default=True, help="requests a second of the open loop")
def main(
    binary: str | None,
    model: str,
    names: tuple[str, ...],
    seconds: float,
    rounds: int,
    rate: float,
) -> None:
    """Prints medians and ratios to the first server."""
    cores = str(len(os.sched_getaffinity(0)))
    started = partial(ours, model=model, replicas=cores)
    servers: dict[str, Start] = {"infinity": partial(infinity, binary, model)} if binary else {}
    settings = ({"backend": "torch"}, {}, {"ingress": "serve"}, {"precision": "int8"})
    for name, given in zip(SERVERS, settings, strict=True):
        if name in names:
            servers[name] = partial(started, **given)
    measured = []
    for number in range(rounds):
        by_server = {}
        for name, start in servers.items():
            with start() as url:
                by_server[name] = asyncio.run(measure(url, seconds, rate))
        measured.append(by_server)
        print(f"round {number + 1} of {rounds}", flush=True)
    print(table(measured, next(iter(servers))))


if __name__ == "__main__":
    main()
