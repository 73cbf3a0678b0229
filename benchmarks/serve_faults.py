"""A bad day of the server: its parts break one after another, and each line says what callers and
operator then see.

It measures the tree in which it lies: to compare with another version, copy this file,
benchmarks/asking.py and tests/serve/hangups.py there. Out of reach is the longest time in which
every request was refused, reset or left without an answer.
"""

import hashlib
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.asking import ask, asking, tell
from benchmarks.serving import EMBEDDER, Running, free_ports
from medembed.encoding.model_files import model_fingerprint
from tests.serve.hangups import connections, cpu_s, hang_up
from tests.tables import write_corpus, write_table
from tests.tiny import make_encoder

ROOT = Path(__file__).parent.parent
HAPROXY = "haproxy.cfg"  # in its command
KEY = "k-secret-0123456789"
_START_S = 300.0
# A disk of its own for what the server writes below /tmp; this tree stays where it is.
_SMALL_DISK = """
mount --bind /tmp /mnt && mount -t tmpfs -o size=400m tmpfs /tmp
case "$0" in /tmp/*) mkdir -p "$0" && mount --bind "/mnt/${0#/tmp/}" "$0";; esac
cd "$0" && exec "$@" 2> /tmp/serve.log
"""


@contextmanager
def serving(
    scratch: Path, *arguments: str, replicas: int = 2, disk: bool = False
) -> Iterator[Running]:
    """A `medembed serve` of a tiny model; all of it ends with the block, however it takes that."""
    port, dashboard_port = free_ports(2)
    command = [
        sys.executable,
        "-m",
        "jobs.serve",
        f"model={scratch}/model",
        f"workspace={scratch}",
        f"port={port}",
        f"dashboard_port={dashboard_port}",
        f"replicas={replicas}",
        *arguments,
    ]
    if disk:
        command = ["unshare", "--mount", "sh", "-ec", _SMALL_DISK, str(ROOT), *command]
    with open(scratch / "serve.log", "wb") as log:
        started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert started.stdout is not None
    process = psutil.Process(started.pid)
    try:
        if not started.stdout.readline():
            raise SystemExit(
                f"the server did not start: {(scratch / 'serve.log').read_text()[-500:]}"
            )
        yield Running(
            f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}", scratch, process
        )
    finally:
        left: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            left = process.children(recursive=True)
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.wait(60)
        for each in (process, *left):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        started.wait()


def lost_model(scratch: Path) -> Iterator[str]:
    """The model's folder goes away, then both replicas die; after 90 s the folder comes back."""
    with serving(scratch) as running:
        (scratch / "model").rename(scratch / "gone")
        for replica in running.find(EMBEDDER):
            replica.kill()
        pids = set[int]()
        with (
            asking(f"{running.url}/v1/embeddings", every_s=2) as answers,
            asking(f"{running.url}/health/live", None, every_s=2) as probes,
        ):
            for _ in range(90):
                pids |= {replica.pid for replica in running.find(EMBEDDER)}
                time.sleep(1)
        yield f"no model for 90 s: {tell(answers)}; replicas started: {len(pids)}"
        yield f"no model, /health/live: {tell(probes)}"
        yield f"no model, the terminal: {reason(scratch, str(scratch / 'model'))}"
        (scratch / "gone").rename(scratch / "model")
        yield f"the model is back: {until_answered(running):.1f} s to an answer"


def reason(scratch: Path, word: str) -> str:
    """Count the lines of the server's log with this word, and quote the last, without folders of
    this run.
    """
    lines = [line for line in (scratch / "serve.log").read_text().splitlines() if word in line]
    return (
        f"{len(lines)} lines: {lines[-1].replace(str(scratch), '')[:300]}" if lines else "no line"
    )


def until_answered(running: Running, key: str = "", patience_s: float = 120) -> float:
    """Return seconds until a request for embeddings is answered with them."""
    start = time.monotonic()
    while time.monotonic() - start < patience_s:
        if ask(f"{running.url}/v1/embeddings", key=key, timeout_s=5).what == "200":
            break
        time.sleep(0.2)
    return time.monotonic() - start


def full_disk(scratch: Path) -> Iterator[str]:
    """The disk below Ray's and HAProxy's files, and the log, is full."""
    with serving(scratch, disk=True) as running:
        for state, seconds in (("before", 20), ("full disk", 60)):
            if state == "full disk":
                fill(Path(f"/proc/{running.process.pid}/root/tmp/fill"))
            with asking(f"{running.url}/v1/embeddings", every_s=0.02) as answers:
                time.sleep(seconds)
            p50_ms = statistics.median(each.end - each.start for each in answers) * 1000
            yield f"{state}: p50 {p50_ms:,.0f} ms, {tell(answers)}"


def fill(file: Path) -> None:
    """Write to a file until nothing more goes on its disk."""
    with suppress(OSError), open(file, "wb", buffering=0) as stream:
        while stream.write(bytes(1 << 20)) == 1 << 20:
            pass
    with suppress(OSError), open(file, "ab", buffering=0) as stream:
        while stream.write(b"0"):
            pass


def bad_starts(scratch: Path) -> Iterator[str]:
    """What a start finds is damaged, or does not answer."""
    model = scratch / "model"
    corpus = write_corpus(scratch / "data", [{"document_id": f"d{row}"} for row in range(500)], 500)
    vectors = np.eye(500, 32, dtype=np.float32)
    write_table(scratch / "table", corpus, vectors, encoder=model_fingerprint(model))
    for file in (scratch / "table").glob("data/*"):
        file.write_bytes(file.read_bytes()[:1000])
    shutil.copytree(model, scratch / "cut")
    weights = scratch / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    (scratch / "damaged" / "mlflow").mkdir(parents=True)
    (scratch / "damaged" / "mlflow" / "mlflow.db").write_bytes(b"no database" * 1000)
    named = "model=models:/medembed@champion"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        cases = {
            "weights cut off": [f"model={scratch}/cut"],
            "table cut off": [f"model={model}", f"table={scratch}/table"],
            "damaged MLflow file": [named, f"workspace={scratch}/damaged"],
            "MLflow server refuses": [named, "tracking_uri=http://127.0.0.1:9"],
            "MLflow server is silent": [named, f"tracking_uri=http://127.0.0.1:{port}"],
        }
        for name, arguments in cases.items():
            yield f"start, {name}: {failed_start(scratch, arguments)}"


def failed_start(scratch: Path, arguments: Sequence[str]) -> str:
    """Return how a start ended, after how long, and its last line."""
    port, dashboard_port = free_ports(2)
    command = [
        sys.executable,
        "-m",
        "jobs.serve",
        f"port={port}",
        f"dashboard_port={dashboard_port}",
        *arguments,
    ]
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            _, said = process.communicate(timeout=_START_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            _, said = process.communicate()
    lines = said.strip().splitlines() or ["nothing"]
    seconds = time.monotonic() - start
    last = lines[-1].replace(str(scratch), "")[:300]
    return (
        f"status {process.returncode} after {seconds:.1f} s, {len(lines)} lines, the last: {last}"
    )


def lost_haproxy(scratch: Path) -> Iterator[str]:
    """HAProxy is killed; then the terminal closes."""
    with serving(scratch) as running:
        with asking(f"{running.url}/v1/models", None, every_s=0.1) as answers:
            time.sleep(2)
            for process in running.find(HAPROXY):
                process.kill()
            time.sleep(45)
        yield f"HAProxy killed: {tell(answers)}"
        processes = [running.process, *running.process.children(recursive=True)]
        running.process.send_signal(signal.SIGHUP)
        _, left = psutil.wait_procs(processes, timeout=60)
        names = sorted({each.name() for each in left if each.is_running()})
        port = ask(f"{running.url}/v1/models", None, timeout_s=5).what
        yield f"SIGHUP: {len(left)} processes left after 60 s {names}; the port: {port}"


def callers_leave(scratch: Path) -> Iterator[str]:
    """Callers who hang up in mid-request."""
    with serving(scratch) as running:
        port = int(running.url.rpartition(":")[2])
        for state in ("idle replicas", "stopped replicas"):
            replicas = running.find(EMBEDDER)
            for replica in replicas if state == "stopped replicas" else ():
                replica.suspend()
            hang_up(port, 200)
            time.sleep(10)
            core = f"{cpu_s(running.find(HAPROXY), 5) / 5:.0%} of a core"
            held = connections(running.process, port)
            for replica in replicas:
                replica.resume()
            told = tell([ask(f"{running.url}/v1/embeddings")])
            time.sleep(10)
            after = connections(running.process, port)
            kept = f"keeps {held} connections, {after} ten seconds after the replicas work again"
            yield f"200 callers left, {state}: HAProxy takes {core}, {kept}; then {told}"


def no_key(scratch: Path) -> Iterator[str]:
    """What callers without a key can do to one who has one."""
    (scratch / "keys").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with serving(scratch, f"keys.file={scratch}/keys", replicas=1) as running:
        port, embeddings = int(running.url.rpartition(":")[2]), f"{running.url}/v1/embeddings"
        probes = hold(port, 600, b"GET /health/ready HTTP/1.1\r\nHost: here\r\n\r\n")
        with asking(embeddings, key=KEY, every_s=0.1) as answers:
            time.sleep(2)
        yield f"600 probes of /health/ready at once: {tell(answers)}"
        for probe in probes:
            probe.close()
        many = b'{"model": "medembed", "input": [' + b"[1]," * (2 << 20)
        many = many[: (8 << 20) - 2] + b"]}"
        with ThreadPoolExecutor(20) as callers, asking(embeddings, key=KEY, every_s=0.2) as answers:
            list(callers.map(lambda _: ask(embeddings, many, KEY), range(20)))
        yield f"20 bodies of [[1],[1],...], 8 MiB each: {tell(answers)}"
        held = hold(port, 4300, b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\n")
        with asking(embeddings, key=KEY, every_s=0.5, timeout_s=60) as answers:
            time.sleep(45)
        yield f"4,300 requests that never end: {tell(answers)}"
        for client in held:
            client.close()


def hold(port: int, count: int, sent: bytes) -> list[socket.socket]:
    """Open so many connections, then send this on each of them."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients:
        client.sendall(sent)
    return clients


SCENARIOS: dict[str, Callable[[Path], Iterator[str]]] = {
    "model": lost_model,
    "disk": full_disk,
    "starts": bad_starts,
    "haproxy": lost_haproxy,
    "leave": callers_leave,
    "key": no_key,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)))
def main(names: Sequence[str]) -> None:
    """Prints what callers and operator see in each of these scenarios; all of them unless named."""
    os.environ.pop("RAY_ADDRESS", None)
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="medembed-bench-", dir="/var/tmp") as folder:
            scratch = Path(folder)
            make_encoder(scratch / "model")
            for line in SCENARIOS[name](scratch):
                print(line, flush=True)


if __name__ == "__main__":
    main()
