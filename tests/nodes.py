"""A Ray cluster of two nodes on this machine, each with one CPU, processes and a working folder of
its own.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.children import die_with_parent


@dataclass(frozen=True)
class Cluster:
    """RAY_ADDRESS, dashboard URL, the processes of its nodes, head first, and where Ray's own files
    are.
    """

    address: str
    dashboard: str
    nodes: list[subprocess.Popen[bytes]]
    scratch: Path


@contextmanager
def two_node_cluster(root: Path) -> Iterator[Cluster]:
    """Yields the cluster, started as docs/serving.md says; logs and working folders lie below
    `root`.
    """
    address = f"{socket.gethostbyname(socket.gethostname())}:{free_port()}"
    dashboard = free_port()
    binary = str(Path(sys.executable).with_name("ray"))
    common = ["--num-cpus=1", "--object-store-memory=200000000", "--disable-usage-stats", "--block"]
    # its default port may be another Ray's: then no job is taken
    common.append("--dashboard-agent-listen-port=0")
    head = [
        binary,
        "start",
        "--head",
        f"--port={address.split(':')[1]}",
        f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={free_port()}",
        *common,
    ]
    nodes: list[subprocess.Popen[bytes]] = []
    scratch = root / "ray"
    scratch.mkdir(mode=0o700)
    try:
        for number, command in enumerate(
            [head, [binary, "start", f"--address={address}", *common]]
        ):
            folder = root / f"node{number}"
            folder.mkdir()
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            with open(folder / "log", "wb") as log:
                own = {
                    "PATH": path,
                    "TMPDIR": str(folder),
                    "RAY_TMPDIR": str(scratch),
                    "PYTHONUNBUFFERED": "1",
                }
                node = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=os.environ | own,
                    stdout=log,
                    stderr=log,
                    umask=0o077,
                    preexec_fn=die_with_parent,
                )
                nodes.append(node)
            wait_until_started(nodes[-1], folder / "log")
        wait_for_nodes(address, len(nodes))
        yield Cluster(address, f"http://127.0.0.1:{dashboard}", nodes, scratch)
    finally:
        kill(nodes)


def stop(node: subprocess.Popen[bytes]) -> None:
    """Asks a node to leave: what runs there is told first."""
    node.send_signal(signal.SIGTERM)
    try:
        node.wait(60)
    except subprocess.TimeoutExpired:
        kill([node])


def kill(nodes: list[subprocess.Popen[bytes]]) -> None:
    """Ends nodes with all their processes at once; asked politely, a head takes half a minute."""
    running = [node for node in nodes if node.poll() is None]
    family = [
        process for node in running for process in psutil.Process(node.pid).children(recursive=True)
    ]
    for process in [*running, *family]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for node in running:
        node.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_started(node: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if "Ray runtime started" in log.read_text():
            return
        assert node.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def wait_for_nodes(address: str, count: int) -> None:
    code = f"import ray; ray.init({address!r}, logging_level='ERROR', log_to_driver=False); print(len(ray.nodes()))"
    for _ in range(30):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode == 0 and int(done.stdout.split()[-1]) >= count:
            return
        time.sleep(1)
    raise AssertionError(f"not {count} nodes: {done.stderr[-500:]}")
