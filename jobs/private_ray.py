"""The environment of a job's own Ray: its folder, its token, and its switches.

Ray reads most of these switches when it is imported. So no module of `jobs` imports Ray, directly
or through others, when it is imported itself, and `private_ray` sets them before anything does.
"""

import fcntl
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PREFIX = "medembed-ray-"
_ROOT = Path("/tmp")  # short: Ray puts socket paths below it
_LOCK = "alive"  # a file that the job has locked as long as it lives, however it ends
_SETTLES_S = 60.0  # after which a new folder has its lock, and a dead job's processes have ended
# Workers are quiet, as the job's own lines say what is going on. Nobody takes this machine away, as
# clouds take spot nodes: an actor that watched for that would cost a training two seconds.
_SWITCHES = {
    "RAY_AUTH_MODE": "token",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # it warns at four times as many
    "RAY_worker_maximum_startup_concurrency": str(max(8, os.cpu_count() or 1)),
    # to Ray: a node of its own, which listens on 127.0.0.1 alone
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
if sys.platform == "linux":  # workers of a training meet on loopback, too
    _SWITCHES |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
Environment = Mapping[str, str]


def no_more(_: str) -> Environment:
    """Add no switches to those of every private Ray."""
    return {}


@contextmanager
def private_ray(more: Callable[[str], Environment] = no_more) -> Iterator[None]:
    """Set the environment of a private Ray, which has a folder until the `with` block ends.

    `more` gives switches for that folder. What dead jobs of this user left is removed first.
    """
    remove_dead()
    scratch = tempfile.mkdtemp(prefix=PREFIX, dir=_ROOT)
    try:
        with open(Path(scratch, _LOCK), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.environ |= _SWITCHES | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
            # Matplotlib would write to the home folder.
            os.environ |= {"RAY_TMPDIR": scratch, "TMPDIR": scratch, "MPLCONFIGDIR": scratch}
            os.environ |= more(scratch)
            tempfile.tempdir = None  # it is looked up again, where something asked for it before
            yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(scratch, ignore_errors=True)


def remove_dead(root: Path = _ROOT, settles_s: float = _SETTLES_S) -> list[Path]:
    """Remove the folders of jobs of this user that were killed; return them."""
    dead = [folder for folder in root.glob(f"{PREFIX}*") if _is_dead(folder, settles_s)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return dead


def _is_dead(folder: Path, settles_s: float) -> bool:
    """Return whether a folder is this user's, not a link, old enough, and no job holds its lock."""
    try:
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
        if not is_ours or time.time() - status.st_mtime < settles_s:
            return False
        # which is there: without it, nobody can say that the job is dead
        with open(folder / _LOCK, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it lives, has no such file, or is gone meanwhile
        return False
    return True
