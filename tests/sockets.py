"""The sockets on which a process and those below it listen, now or during a `with` block."""

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
    """Return those of a process and all below it, now."""
    listening: set[Listener] = set()
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                command = " ".join(each.cmdline())
                for connection in each.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        address = connection.laddr.ip.removeprefix("::ffff:")
                        listening.add(Listener(address, connection.laddr.port, command))
    return listening


@contextmanager
def watched(pid: int, every_s: float = 0.5) -> Iterator[set[Listener]]:
    """Yield a set that grows by what listens below this process meanwhile."""
    seen: set[Listener] = set()
    process = psutil.Process(pid)
    ended = threading.Event()

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


def elsewhere(listening: set[Listener]) -> set[Listener]:
    """Return those that other machines may reach."""
    return {each for each in listening if each.address != "127.0.0.1"}


def speaks_http(listener: Listener) -> bool:
    """Say whether HAProxy listens there, or a replica that takes requests from it."""
    is_replica = "ray::ServeReplica" in listener.command and listener.port in range(30_000, 31_000)
    return is_replica or "haproxy.cfg" in listener.command
