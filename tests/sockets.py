"""Where the processes below one listen, looked at again and again while a `with` block lasts."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil


class Listener(NamedTuple):
    """A socket that takes connections, and the command of its process."""

    address: str
    port: int
    command: str


def listeners(process: psutil.Process) -> set[Listener]:
    """Those of a process and all below it, now."""
    found: set[Listener] = set()
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                found |= _of(each)
    return found


def _of(process: psutil.Process) -> set[Listener]:
    command = " ".join(process.cmdline())
    sockets = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return {
        Listener(each.laddr.ip.removeprefix("::ffff:"), each.laddr.port, command)
        for each in sockets
    }


@contextmanager
def watched(pid: int, every_s: float = 0.5) -> Iterator[set[Listener]]:
    """Yields a set that grows by what listens below this process meanwhile."""
    seen: set[Listener] = set()
    process, ended = psutil.Process(pid), threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            seen.update(listeners(process))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def elsewhere(found: set[Listener]) -> set[Listener]:
    """Those that other machines may reach."""
    return {each for each in found if each.address != "127.0.0.1"}


def speaks_http(listener: Listener) -> bool:
    """Whether HAProxy listens there, or a replica of a server that takes requests from it."""
    is_replica = "ray::ServeReplica" in listener.command and listener.port in range(30_000, 31_000)
    return is_replica or "haproxy.cfg" in listener.command
