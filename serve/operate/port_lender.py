"""Hold the server's port, and lend it to HAProxy: callers wait while a dead HAProxy is replaced.

If HAProxy alone had the port, it would be closed when HAProxy dies, and callers would be refused
until Ray has started another.
"""

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

# The path of the socket on which HAProxy gets those of the port.
LENDER = "MEDEMBED_HAPROXY_PORT_LENDER"
_BACKLOG = 4096  # callers who may wait
_MOST_SOCKETS = 8
_TIMEOUT_S = 5.0


class PortLender:
    """Listening sockets, and one that gives them to each process of this user that connects."""

    def __init__(self) -> None:
        self.listeners: list[socket.socket] = []
        self.lender: socket.socket | None = None

    def open(self, folder: str, hosts: Sequence[str], port: int) -> str:
        """Listen on these addresses, and return the path, below a folder, for `borrow`.

        Raises OSError for an address that cannot be listened on.
        """
        self.listeners = [socket.create_server((host, port), backlog=_BACKLOG) for host in hosts]
        path = os.path.join(folder, "port")
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
    """Return descriptors of the port's sockets, which a program that replaces this process gets."""
    with socket.socket(socket.AF_UNIX) as lender:
        lender.settimeout(_TIMEOUT_S)
        lender.connect(path)
        _, descriptors, _, _ = socket.recv_fds(lender, 1, _MOST_SOCKETS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    return descriptors
