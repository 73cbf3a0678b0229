"""The server's port, which `medembed serve` holds and lends to HAProxy: callers wait while a dead
one is replaced.

A port that HAProxy alone had would be closed when it dies, and callers refused until Ray has
started another.
"""

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

DOOR = "MEDEMBED_HAPROXY_DOOR"  # path of the socket on which HAProxy gets the port's
_BACKLOG = 4096  # callers who may wait
_MOST = 8  # sockets of a port
_PATIENCE_S = 5.0


class Door:
    """Listening sockets, and one more that gives them to each process of this user that
    connects.
    """

    def __init__(self) -> None:
        self.listeners: list[socket.socket] = []
        self.lender: socket.socket | None = None

    def open(self, folder: str, hosts: Sequence[str], port: int) -> str:
        """Listen on these addresses, and return the path below a folder where `borrow` gets the
        sockets.

        Raises OSError for an address that cannot be listened on.
        """
        self.listeners = [socket.create_server((host, port), backlog=_BACKLOG) for host in hosts]
        path = os.path.join(folder, "door")
        self.lender = socket.socket(socket.AF_UNIX)
        self.lender.bind(path)
        os.chmod(path, 0o600)
        self.lender.listen()
        threading.Thread(target=self._lend, args=(self.lender,), daemon=True).start()
        return path

    def _lend(self, lender: socket.socket) -> None:
        while True:
            try:
                borrower, _ = lender.accept()
            except OSError:  # it was closed
                return
            with borrower, suppress(OSError):
                socket.send_fds(borrower, [b"!"], [each.fileno() for each in self.listeners])

    def close(self) -> None:
        """Listen and lend no more. HAProxy keeps what it has."""
        if self.lender is not None:
            self.lender.shutdown(socket.SHUT_RDWR)  # ends the wait in the thread
            self.lender.close()
        for listener in self.listeners:
            listener.close()


def borrow(path: str) -> list[int]:
    """Return descriptors of a port's sockets, which a program that takes this process's place
    inherits.
    """
    with socket.socket(socket.AF_UNIX) as lender:
        lender.settimeout(_PATIENCE_S)
        lender.connect(path)
        _, descriptors, _, _ = socket.recv_fds(lender, 1, _MOST)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    return descriptors
