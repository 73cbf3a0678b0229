"""Kill -9 for fault benchmarks and tests: of a driver, of one of two nodes, of an actor; and the
bucket that those nodes share.
"""

import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.nodes import free_port, head_options, start_node

Job = subprocess.Popen[bytes]
# Ray names the processes of actors by their classes.
_WORKERS = ("EncodeRows", "SearchStripe", "RayTrainWorker")


@dataclass(frozen=True)
class Cluster:
    """A head and a second node with one CPU each, which share nothing but a bucket."""

    folder: Path
    bucket: str
    environment: dict[str, str]
    nodes: list[Job]

    def add_node(self) -> None:
        """Start the head, then other nodes; return when the node has joined."""
        address = self.environment["RAY_ADDRESS"]
        options = [f"--address={address}"]
        if not self.nodes:
            options = [*head_options(address), "--include-dashboard=false"]
        # Six missed beats of half a second, not a quarter of a minute, until a node counts as lost.
        health = {
            "RAY_health_check_initial_delay_ms": "0",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "6",
        }
        environment = os.environ | self.environment | health
        environment.pop("RAY_ADDRESS")
        self.nodes.append(start_node(options, self.folder, environment))

    def lose_node(self) -> None:
        """Kill the second node with all its processes."""
        kill_tree(self.nodes.pop(1))

    def announce_loss(self, in_s: int) -> None:
        """Tell Ray, as a cloud's agent does, that the second node will be taken away."""
        raylet = next(each for each in _tree(self.nodes[1]) if each.name() == "raylet")
        (name,) = [word for word in raylet.cmdline() if word.startswith("--node_id=")]
        command = [
            str(Path(sys.executable).with_name("ray")),
            "drain-node",
            f"--address={self.environment['RAY_ADDRESS']}",
            f"--node-id={name.partition('=')[2]}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=spot",
            f"--deadline-remaining-seconds={in_s}",
        ]
        subprocess.run(command, env=os.environ | self.environment, check=True, capture_output=True)


@contextmanager
def s3_bucket() -> Iterator[str]:
    """Start an S3 server that this process's environment names; yield the URI of a bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    boto3.client("s3").create_bucket(Bucket="faults")
    try:
        yield "s3://faults"
    finally:
        server.stop()


@contextmanager
def two_nodes(folder: Path, bucket: str) -> Iterator[Cluster]:
    """Start the cluster; the environment of this process reaches the bucket."""
    environment = {
        "RAY_ADDRESS": f"{socket.gethostbyname(socket.gethostname())}:{free_port()}",
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    cluster = Cluster(folder, bucket, environment, [])
    try:
        cluster.add_node()
        cluster.add_node()
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            kill_tree(node)


def kill(kind: str, job: Job, cluster: Cluster, draw: random.Random) -> None:
    """Kill -9 an actor, the driver, or the second node, which another one replaces."""
    if kind == "driver":
        kill_driver(job)
    elif kind == "node":
        cluster.lose_node()
        cluster.add_node()
    elif working := actors(job):
        draw.choice(working).kill()


def kill_driver(job: Job) -> None:
    """Kill the driver alone, wait until its actors have ended by themselves, and remove what its
    private Ray left: Ray's agents need a minute to see that they are alone.
    """
    # Stop it at once: finding all its processes takes some time.
    job.send_signal(signal.SIGSTOP)
    below = _tree(job)[1:]
    folders = set()
    for process in below:
        with suppress(psutil.Error):
            folders.add(process.environ().get("RAY_TMPDIR", ""))
    working = actors(job)
    job.kill()
    job.wait()
    _, left = psutil.wait_procs(working, timeout=60)
    assert not left, f"{len(left)} actors outlive their driver"
    _kill(below)
    for folder in folders:
        if "medembed-ray-" in folder:
            shutil.rmtree(folder, ignore_errors=True)


def kill_tree(job: Job) -> None:
    """Kill a process and all below it, at once."""
    _kill(_tree(job))
    job.wait()


def actors(root: Job | psutil.Process) -> list[psutil.Process]:
    """Return the actors below a process that encode, search or train."""
    working = []
    for process in _tree(root):
        with suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if any(worker in title for worker in _WORKERS):
                working.append(process)
    return working


def _kill(processes: list[psutil.Process]) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(processes, timeout=10)


def _tree(job: Job | psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        root = psutil.Process(job.pid)
        return [root, *root.children(recursive=True)]
    return []


def wait(job: Job, is_time: Callable[[], bool], every_s: float = 0.02) -> None:
    """Return when it is time, or when the job has ended."""
    while job.poll() is None and not is_time():
        time.sleep(every_s)
