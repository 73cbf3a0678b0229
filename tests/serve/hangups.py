"""Let clients leave in mid-request, in each way that there is."""

import contextlib
import json
import socket
import struct
import time
import urllib.request
from collections.abc import Callable

import psutil

BODY = json.dumps({"model": "medembed", "input": ["a tremor of the left hand"] * 1000}).encode()
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
SENT = {
    "all of it": REQUEST,
    "half a body": REQUEST[: len(REQUEST) // 2],
    "half a header": HEAD[:40],
    "a chunk": HEAD + b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"model\r\n',
    "one and a half": REQUEST + REQUEST[: len(REQUEST) // 2],
    "most of much": HEAD + b"Content-Length: %d\r\n\r\n" % (8 << 20) + bytes(7 << 20),
}


def _close(client: socket.socket) -> None:
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


ENDS: tuple[Callable[[socket.socket], None], ...] = (_close, reset)


def hang_up(port: int, times: int) -> None:
    """Let so many clients, of all kinds in turn, leave one after another."""
    kinds = [(sent, end) for sent in SENT.values() for end in ENDS]
    for number in range(times):
        sent, end = kinds[number % len(kinds)]
        client = socket.create_connection(("127.0.0.1", port), timeout=0.5)
        with contextlib.suppress(TimeoutError):  # nobody reads on
            client.sendall(sent)
        end(client)


def connections(process: psutil.Process, port: int) -> int:
    """Connections to this port that it and the processes below it hold, also those whose clients
    have left.
    """
    count = 0
    for each in (process, *process.children(recursive=True)):
        # gone meanwhile, as HAProxy is when Ray starts it anew
        with contextlib.suppress(psutil.Error):
            count += sum(
                1 for one in each.net_connections("tcp") if one.raddr and one.laddr.port == port
            )
    return count


def latency_s(url: str) -> float:
    """Measure how long a small request waits for its answer."""
    body = json.dumps({"model": "medembed", "input": "skin rash"}).encode()
    request = urllib.request.Request(
        f"{url}/v1/embeddings", body, {"Content-Type": "application/json"}
    )
    started = time.monotonic()
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read()
    return time.monotonic() - started


def cpu_s(processes: list[psutil.Process], seconds: float) -> float:
    """CPU seconds that these processes spend in so many seconds from now on; HAProxy may be started
    anew meanwhile.
    """
    before = [(process, _cpu_s(process)) for process in processes]
    time.sleep(seconds)
    return sum(max(0.0, _cpu_s(process) - spent) for process, spent in before)


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return sum(process.cpu_times()[:2])
    return 0.0
