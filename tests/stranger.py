"""Runs an attack as another user of this machine, who has no groups and nothing of our
environment.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import pytest

from tests import attacks
from tests.sockets import Listener

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
# How calls without a token may end: refused, no such call there, or no gRPC.
REFUSED = {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"}
_PEOPLE_MAY_COME_HERE = 0o755


def attack(name: str, *arguments: Any) -> Any:
    """Return what a function of tests/attacks.py gives to that user.

    It starts as root and becomes that user, who may not enter the folder where this Python is.
    """
    script = Path(__file__).with_name("attacks.py")
    done = subprocess.run(
        [sys.executable, "-I", script, name],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        cwd="/",
        env={},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def attack_sockets(name: str, *arguments: Any) -> Any:
    """Attack ports as that user, or as this one where no other can be made: a port does not tell
    users apart.
    """
    return attack(name, *arguments) if os.getuid() == 0 else getattr(attacks, name)(*arguments)


def attack_listeners(found: Collection[Listener], host: str, mark: Path) -> set[str]:
    """Return the services of Ray's that refuse him, of all that listen on a machine whose address
    is `host`.
    """
    everywhere = ("0.0.0.0", "::")
    refused: set[str] = set()
    for address in {host if each.address in everywhere else each.address for each in found}:
        ports = sorted({each.port for each in found if each.address in (address, *everywhere)})
        assert attack_sockets("answers", ports, address) == []
        ended = attack_sockets("calls", ports, str(mark), address)
        assert set(ended) <= REFUSED
        refused |= {call.split("/")[1] for call in ended["UNAUTHENTICATED"]}
    assert not mark.exists()
    return refused


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yields a folder to which everybody comes, as to a home folder of Debian's; pytest's own are
    closed.

    Its name is short, as Ray puts sockets below it.
    """
    folder = Path(mkdtemp(prefix="open-", dir="/tmp"))
    folder.chmod(_PEOPLE_MAY_COME_HERE)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def everything_below(*roots: Path) -> list[str]:
    """Return all files, folders and sockets in these folders, themselves included."""
    paths = [str(root) for root in roots]
    for root in roots:
        paths += [str(path) for path in root.rglob("*")]
    return paths


def shared_memory(pids: list[int]) -> list[str]:
    """Return the files in shared memory that these processes have mapped, and still have names."""
    mapped: set[str] = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            mapped |= {line.split(maxsplit=5)[5] for line in lines if "/dev/shm/" in line}
    return [path for path in mapped if Path(path).exists()]


def family(pid: int) -> list[int]:
    """Return this process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
