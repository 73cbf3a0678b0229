"""Attacks of another user of this machine; as a script it becomes that user (tests/stranger.py).

Each function returns what it got, so that a test expects an empty list.
"""

import contextlib
import json
import os
import socket
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import Any

import grpc
from safetensors.numpy import load_file, save_file

STRANGER = 65534
_HTTP = [
    ("GET", "/api/jobs/", None),
    ("GET", "/api/serve/applications/", None),
    ("GET", "/api/v0/nodes", None),
    ("GET", "/nodes?view=summary", None),
    ("GET", "/logs", None),
    ("GET", "/api/v0/logs/file?filename=raylet.out", None),
    ("GET", "/worker/traceback?pid=1", None),
    ("POST", "/api/jobs/", {"entrypoint": "id"}),
    ("POST", "/api/job_agent/jobs/", {"entrypoint": "id"}),
    ("PUT", "/api/serve/applications/", {"applications": []}),
    ("PUT", "/api/packages/gcs/_ray_pkg_0.zip", {}),
    ("POST", "/get_or_create_runtime_env", {}),
    ("POST", "/get_runtime_envs_info", {}),
    ("POST", "/report_events", []),
]
# Calls of Ray's services that read, run or end something; and of Serve's replicas, which unpickle
# what they take.
_RAYS = [
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.InternalKVGcsService/InternalKVPut",
    "/ray.rpc.JobInfoGcsService/AddJob",
    "/ray.rpc.ActorInfoGcsService/GetAllActorInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/RequestWorkerLease",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.CoreWorkerService/Exit",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.LogService/ListLogs",
    "/ray.rpc.events.EventAggregatorService/AddEvents",
]
_SERVES = [
    "/ray.serve.ASGIService/HandleRequestWithRejection",
    "/ray.serve.ASGIService/HandleRequest",
]
_PICKLE = b"cposix\nsystem\n(S'touch %s'\ntR."
_ABOUT_A_PROCESS = ("environ", "mem", "maps", "fd", "cwd", "root", "io", "stack")


def open_files(paths: list[str]) -> list[str]:
    """Return those that can be read, listed or written in."""
    return [path for path in paths if _is_open(Path(path))]


def _is_open(path: Path) -> bool:
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            with contextlib.suppress(OSError):
                (path / "planted").touch()
                return True
            os.listdir(path)
            return True
        if stat.S_ISSOCK(mode):
            return _connects(str(path))
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        return True
    return False


def open_sockets(names: list[str]) -> list[str]:
    """Return those that take a connection: paths, or abstract names with @ in front."""
    return [name for name in names if _connects(name.replace("@", "\0", 1))]


def _connects(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(5)
        client.connect(name)
        return True
    return False


def open_processes(pids: list[int]) -> list[str]:
    """Return what can be read about them that the kernel keeps for their owner."""
    paths = [f"/proc/{pid}/{name}" for pid, name in product(pids, _ABOUT_A_PROCESS)]
    return [path for path in paths if _is_readable(Path(path))]


def _is_readable(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_dir():
            return bool(os.listdir(path))
        return bool(path.read_bytes())
    return False


def commands(pids: list[int]) -> str:
    """Return their command lines, which everybody sees."""
    lines = []
    for pid in pids:
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return "\n".join(lines)


def answers(ports: list[int], host: str = "127.0.0.1") -> list[str]:
    """Return what answers over HTTP without a token, except refusals and counts for Prometheus."""
    answered = []
    for port, (method, path, body) in product(ports, _HTTP):
        url = f"http://{host}:{port}{path}"
        if _answers(method, url, body):
            answered.append(f"{method} {url}")
    return answered


def _answers(method: str, url: str, body: Any) -> bool:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return not response.read().startswith(b"# HELP")
    except urllib.error.HTTPError as error:
        return error.code == 500  # it was let in, and failed; HAProxy has a 503 for what is nowhere
    except (OSError, HTTPException):
        return False


def calls(ports: list[int], mark: str, host: str = "127.0.0.1") -> dict[str, list[str]]:
    """{how it ended: calls of Ray's without a token}; UNAUTHENTICATED is a refusal, UNIMPLEMENTED
    is no such call.

    `mark` is a file that is made if a replica unpickles what comes.
    """
    pickle = _PICKLE % mark.encode()
    sent = dict.fromkeys(_RAYS, b"") | dict.fromkeys(_SERVES, b"\x0a%c%b" % (len(pickle), pickle))
    ended: dict[str, list[str]] = {}
    for port in ports:
        with grpc.insecure_channel(
            f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]
        ) as channel:
            for name, body in sent.items():
                code = _call(channel, name, body)
                ended.setdefault(code, []).append(f"{port} {name}")
                if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):  # it speaks no gRPC
                    break
    return ended


def _call(channel: Any, name: str, body: bytes) -> str:
    try:
        channel.unary_unary(name)(body, timeout=5)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def hold_half_requests(ports: list[int], count: int, within_s: float) -> list[int]:
    """Return the ports that after so many seconds still hold one of `count` requests of which half
    a head was sent.
    """
    started = time.monotonic()
    holding = set()
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for port in ports * count]
    for client in clients:
        client.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: he")
    for client in clients:
        client.settimeout(max(0.1, started + within_s - time.monotonic()))
        with client, contextlib.suppress(ConnectionError):
            try:
                while client.recv(4096):  # HAProxy says 408 before it closes
                    pass
            except TimeoutError:
                holding.add(client.getpeername()[1])
    return sorted(holding)


def send_nested(url: str, count: int, size_bytes: int) -> list[int]:
    """Send bodies of hundreds of thousands of lists at once; return the statuses."""
    lists = b"[1]," * (size_bytes // 4 - 16)
    body = b'{"model": "medembed", "input": [' + lists + b"[1]]}"
    return _at_once(count, f"{url}/v1/embeddings", body, {"Content-Type": "application/json"})


def probe(url: str, count: int) -> list[int]:
    """Send probes of readiness at once; return the statuses."""
    return _at_once(count, f"{url}/health/ready", None, {})


def ask_as(url: str, path: str, hosts: Sequence[str]) -> list[int]:
    """Send a request under each of these domains; return the statuses."""
    return [_status(f"{url}{path}", None, {"Host": host}) for host in hosts]


def _at_once(count: int, url: str, body: bytes | None, headers: dict[str, str]) -> list[int]:
    with ThreadPoolExecutor(count) as callers:
        return list(callers.map(lambda _: _status(url, body, headers), range(count)))


def _status(url: str, body: bytes | None, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers), timeout=60
        ) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException):
        return 0


def spoil(file: str) -> bool:
    """Overwrite half of a file in place; say whether that worked."""
    with contextlib.suppress(PermissionError), open(file, "r+b") as weights:
        size_bytes = os.path.getsize(file)
        weights.seek(size_bytes // 2)
        weights.write(b"\x3f" * (size_bytes - size_bytes // 2))
        return True
    return False


def hide_pickle(folder: str) -> None:
    """Puts a decoy beside weights that are a pickle."""
    os.rename(f"{folder}/model.safetensors", f"{folder}/pytorch_model.bin")
    decoy = load_file(f"{folder}/pytorch_model.bin")
    save_file({"dummy": next(iter(decoy.values()))}, f"{folder}/dummy.safetensors")


def drop_tensors(folder: str) -> None:
    """Puts weights in the place of a model's that lack some of them."""
    tensors = load_file(f"{folder}/model.safetensors")
    kept = {name: values for name, values in tensors.items() if "layer.1." not in name}
    os.remove(f"{folder}/model.safetensors")
    save_file(kept, f"{folder}/model.safetensors", metadata={"format": "pt"})


def _become_stranger() -> None:
    """Become that user for good, without groups."""
    os.setgroups([])
    os.setresgid(STRANGER, STRANGER, STRANGER)
    os.setresuid(STRANGER, STRANGER, STRANGER)


if __name__ == "__main__":
    calls([1], "")  # imports what that user may not, as Python may lie where he may not come
    answers([1])
    _become_stranger()
    print(json.dumps(globals()[sys.argv[1]](*json.load(sys.stdin))))
