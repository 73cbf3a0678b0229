"""Log as JSON lines, on the standard error of `medembed serve`, or of each replica on a cluster.

A replica is a process of Ray's, whose own standard error is a file below Ray's temporary folder.
`medembed serve` gives its replicas a named pipe instead, and copies what comes to where its caller
looks. A request never waits for the log: lines that nobody takes, as on a full disk, are lost and
counted.
"""

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO, Literal

Target = Literal["stderr", "stdout", "off"]
# the pipe's path, in the environment of the Ray that `medembed serve` starts
PIPE = "MEDEMBED_LOG_PIPE"
_DESCRIPTORS = {"stdout": 1, "stderr": 2, "off": 2}
_ACCESS = "serve.access"  # the logger of the access log
_OURS = ("serve", "medembed")
_ENDS_WITHIN_S = 2.0


class LineWriter(logging.Handler):
    """Writes each record as one line to a descriptor, whole or not at all, without waiting."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        lines = [self.format(record)]
        if self.lost:
            lines.insert(0, json.dumps({"time": now(), "lost_lines": self.lost}))
        try:
            os.write(self.descriptor, "".join(f"{line}\n" for line in lines).encode())
        except OSError:
            self.lost += 1
        else:
            self.lost = 0


class JsonLines(logging.Formatter):
    """Formats lines of the access log as they are, others as {time, level, message}."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == _ACCESS:
            return message
        return json.dumps({"time": now(), "level": record.levelname.lower(), "message": message})


def now() -> str:
    """Return the time of a line."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def start_logs(target: Target) -> None:
    """Send the access log, and our warnings and errors, to the pipe or to `target`."""
    handler = LineWriter(_open_pipe() or _DESCRIPTORS[target])
    handler.setFormatter(JsonLines())
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    logging.getLogger(_ACCESS).setLevel(logging.CRITICAL if target == "off" else logging.INFO)


def is_piped() -> bool:
    """Return whether this process is below a `medembed serve`, on a Ray of its own."""
    return PIPE in os.environ


def _open_pipe() -> int | None:
    """Return the pipe's descriptor; None where there is none, or nobody reads it any more."""
    with suppress(KeyError, OSError):
        return os.open(os.environ[PIPE], os.O_WRONLY | os.O_NONBLOCK)
    return None


def make_pipe(folder: str) -> str:
    """Return the path of a new named pipe in a folder, which its owner alone can open."""
    path = os.path.join(folder, "log")
    os.mkfifo(path, 0o600)
    return path


@contextmanager
def copied(pipe: str, stream: BinaryIO) -> Iterator[None]:
    """Copy what comes through a pipe to a stream until the block ends."""
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)  # so that the pipe does not end while replicas come and go
    os.set_blocking(reader, True)
    thread = threading.Thread(target=_copy, args=(reader, stream), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(writer)
        thread.join(_ENDS_WITHIN_S)  # it ends when the last replica has


def _copy(reader: int, stream: BinaryIO) -> None:
    while block := os.read(reader, 1 << 16):
        # a full disk, or a stream that was closed: read on, so that replicas can
        with suppress(OSError, ValueError):
            stream.write(block)
            stream.flush()
