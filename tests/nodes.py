"""A Ray cluster of two nodes on this machine, each with its own CPU, processes and folder."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.children import die_with_parent


@dataclass(frozen=True)
class Cluster:
    """The cluster's RAY_ADDRESS, its dashboard's URL, its nodes, head first, and Ray's folder."""

    address: str
    dashboard: str
    nodes: list[subprocess.Popen[bytes]]
    scratch: Path


@contextmanager
def two_node_cluster(root: Path) -> Iterator[Cluster]:
    """Start the cluster as docs/serving.md says; logs and working folders lie below `root`."""
    address = f"{socket.gethostbyname(socket.gethostname())}:{free_port()}"
    dashboard = free_port()
    head = [*head_options(address), f"--dashboard-port={dashboard}"]
    nodes: list[subprocess.Popen[bytes]] = []
    scratch = root / "ray"
    scratch.mkdir(mode=0o700)
    try:
        for number, options in enumerate((head, [f"--address={address}"])):
            folder = root / f"node{number}"
            folder.mkdir()
            own = {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TMPDIR": str(folder),
                "RAY_TMPDIR": str(scratch),
            }
            nodes.append(start_node(options, folder, os.environ | own))
        wait_for_nodes(address, len(nodes))
        yield Cluster(address, f"http://127.0.0.1:{dashboard}", nodes, scratch)
    finally:
        kill(nodes)


def head_options(address: str) -> list[str]:
    """Return the options of `ray start` that make a head at this address."""
    port = address.partition(":")[2]
    return ["--head", f"--port={port}", f"--ray-client-server-port={free_port()}"]


def start_node(
    options: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a node of one CPU that works and logs in a folder; return when Ray runs there."""
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        *options,
        "--num-cpus=1",
        "--object-store-memory=200000000",
        "--disable-usage-stats",
        # Its default port may be another Ray's: then no job is taken.
        "--dashboard-agent-listen-port=0",
        "--block",
    ]
    log = folder / f"node-{secrets.token_hex(4)}.log"
    with open(log, "wb") as stream:
        node = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=stream,
            stderr=stream,
            umask=0o077,
            preexec_fn=die_with_parent,
        )
    for _ in range(1200):
        if "Ray runtime started" in log.read_text():
            return node
        assert node.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def stop(node: subprocess.Popen[bytes]) -> None:
    """Ask a node to leave, which first tells what runs there."""
    node.send_signal(signal.SIGTERM)
    try:
        node.wait(60)
    except subprocess.TimeoutExpired:
        kill([node])


def kill(nodes: list[subprocess.Popen[bytes]]) -> None:
    """Kill nodes with all their processes at once; asked politely, a head takes half a minute."""
    running = [node for node in nodes if node.poll() is None]
    for node in running:
        below = psutil.Process(node.pid).children(recursive=True)
        for process in (node, *below):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    for node in running:
        node.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_nodes(address: str, count: int) -> None:
    code = (
        f"import ray; ray.init({address!r}, logging_level='ERROR', log_to_driver=False); "
        "print(len(ray.nodes()))"
    )
    for _ in range(30):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode == 0 and int(done.stdout.split()[-1]) >= count:
            return
        time.sleep(1)
    raise AssertionError(f"not {count} nodes: {done.stderr[-500:]}")
