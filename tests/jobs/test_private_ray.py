"""A job's folder in /tmp goes with it; what a killed one left goes with the next, and nothing else
ever does.
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.private_ray import PREFIX, remove_dead
from tests.children import die_with_parent

ROOT = Path(__file__).parent.parent.parent


def make(root: Path, name: str, age_s: float = 1000) -> Path:
    folder = root / f"{PREFIX}{name}"
    folder.mkdir(mode=0o700)
    (folder / "alive").touch()
    (folder / "file").touch()
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_of_folders_in_tmp_those_of_dead_jobs_go_and_all_others_stay(tmp_path: Path):
    dead, young = make(tmp_path, "dead"), make(tmp_path, "young", age_s=5)
    unknown = make(tmp_path, "unknown")  # it may live: nothing in it says otherwise
    (unknown / "alive").unlink()
    os.utime(unknown, (0, 0))
    other = tmp_path / "ray-dead"
    other.mkdir()
    os.utime(other, (0, 0))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "alive").touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    file = tmp_path / f"{PREFIX}file"
    file.touch()
    os.utime(file, (0, 0))
    living = make(tmp_path, "living")
    with open(living / "alive", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_dead(tmp_path) == [dead]
        assert sorted(tmp_path.iterdir()) == sorted(
            [unknown, young, other, elsewhere, link, file, living]
        )
        assert (living / "file").exists()
    assert remove_dead(tmp_path) == [living]


def test_another_users_folder_stays(tmp_path: Path):
    if os.getuid() != 0:
        pytest.skip("only root can give a folder to another user")
    folder = make(tmp_path, "theirs")
    os.chown(folder, 65534, 65534)
    assert remove_dead(tmp_path) == []
    assert (folder / "file").exists()


def test_what_a_killed_job_left_goes_when_the_next_begins_and_a_job_that_ends_leaves_nothing():
    code = (
        "import os, sys, time; from jobs.private_ray import private_ray\nwith private_ray():\n "
        "print(os.environ['RAY_TMPDIR'], flush=True)\n time.sleep(float(sys.argv[1]))"
    )

    def start(seconds: str) -> tuple["subprocess.Popen[str]", Path]:
        job = subprocess.Popen(
            [sys.executable, "-c", code, seconds],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        assert job.stdout is not None
        return job, Path(job.stdout.readline().strip())

    job, folder = start("1000")
    assert folder.stat().st_mode & 0o777 == 0o700
    job.kill()
    job.wait()
    assert folder.is_dir()
    os.utime(folder, (0, 0))
    job, its_own = start("0")
    assert job.wait() == 0
    assert not folder.exists()
    assert not its_own.exists()
