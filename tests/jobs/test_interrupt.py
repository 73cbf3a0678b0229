"""A job beside others on a machine: it listens to nobody else, and after Ctrl-C it leaves nothing
behind.

Exit status 130, no process left, nothing half-written, and the next run goes on from there.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.children import die_with_parent
from tests.sockets import listeners
from tests.stranger import REFUSED, attack, attack_sockets, everything_below, family, shared_memory

ROOT = Path(__file__).parent.parent.parent


def descendants(pid: int, name: str) -> list[psutil.Process]:
    """Return all processes below this one; none as long as none of them bears the name."""
    children = psutil.Process(pid).children(recursive=True)
    lines = []
    for child in children:
        with contextlib.suppress(psutil.Error):  # gone meanwhile
            lines.append(" ".join(child.cmdline()))
    return children if any(name in line for line in lines) else []


@pytest.mark.ray
def test_a_job_listens_on_this_machine_alone_and_ctrl_c_leaves_no_process_and_no_half_written_output(
    pairs_file: Path,
    encoder_folder: Path,
    empty_registry: Path,
    opened: Path,
    tmp_path: Path,
):
    output, log = opened / "out", tmp_path / "log"
    shutil.copytree(empty_registry, tmp_path / "ws")
    command = [
        sys.executable,
        "-m",
        "jobs.finetune",
        f"source.path={pairs_file}",
        f"model={encoder_folder}",
        f"output={output}",
        f"registry.workspace={tmp_path}/ws",
        "training.dimensions=[32,8]",
        "training.select_dimension=8",
        "training.batch_size=16",
        "training.epochs=2000",
        "training.workers=2",
    ]
    with open(log, "wb") as stream:
        job = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ,
            stderr=stream,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    scratch = wait_for_training(job, log)
    refuses_strangers(job, scratch, output, tmp_path)
    assert job.poll() is None, "nobody stops it so"
    children = psutil.Process(job.pid).children(recursive=True)
    os.killpg(job.pid, signal.SIGINT)
    assert job.wait(60) == 130, log.read_text()
    assert "interrupted" in log.read_text().splitlines()[-1]
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
    has_no_half_output(output)


def wait_for_training(job: subprocess.Popen[bytes], log: Path) -> Path:
    """Wait until the training's workers have met; return the scratch folder of the job's Ray."""

    def until(find: Callable[[], Any]) -> Any:
        while not (result := find()):
            assert job.poll() is None, log.read_text()
            time.sleep(0.1)
        return result

    until(lambda: "train: " in log.read_text())
    children = until(lambda: descendants(job.pid, "ray::RayTrainWorker"))
    raylets = [child for child in children if "raylet" in child.name()]
    (scratch,) = {Path(raylet.environ()["RAY_TMPDIR"]) for raylet in raylets}
    until(lambda: list(scratch.glob("medembed-store-*/*")))
    return scratch


def refuses_strangers(
    job: subprocess.Popen[bytes], scratch: Path, output: Path, tmp_path: Path
) -> None:
    """Assert that another user reaches no socket, file or process of the job."""
    sockets = listeners(psutil.Process(job.pid))
    assert {each.address for each in sockets} == {"127.0.0.1"}
    ports = sorted(each.port for each in sockets)
    assert attack_sockets("answers", ports) == []
    ended = attack_sockets("calls", ports, str(tmp_path / "mark"))
    assert set(ended) <= REFUSED | {"DEADLINE_EXCEEDED"}, "gloo says nothing to a stranger"
    if os.getuid() == 0:
        pids = family(job.pid)
        assert attack("open_files", everything_below(scratch, output) + shared_memory(pids)) == []
        assert attack("open_processes", pids) == []


def has_no_half_output(output: Path) -> None:
    """Assert that what is there is whole, or kept for the next run where no reader sees it."""
    assert not (output / "summary.json").exists()
    folders = [
        folder
        for kind in ("data", "examples", "evaluations", "models")
        for folder in (output / kind).glob("*")
    ]
    assert all(
        (folder / "manifest.json").is_file() for folder in folders if folder.suffix != ".run"
    )
    # what is encoded stays for the next run, and no reader sees it
    for table in (output / "tables").glob("*"):
        assert (table / "_versions").is_dir() or not {path.name for path in table.iterdir()} - {
            "data",
            "_staging",
        }


ENDS = """
import signal, sys
from jobs.ray_session import exit_on_signals
if sys.argv[2] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
exit_on_signals()
signal.raise_signal(signal.Signals[sys.argv[1]])
"""


@pytest.mark.parametrize(
    ("name", "started_by", "status"),
    [
        ("SIGTERM", "shell", 143),
        ("SIGHUP", "shell", 129),
        ("SIGTERM", "nohup", 143),
        ("SIGHUP", "nohup", 0),
    ],
)
def test_a_terminal_that_closes_ends_a_job_as_sigterm_does_unless_nohup_ignores_it(
    name: str, started_by: str, status: int
):
    # In a process of its own: signals of this one belong to the Ray that it may have started.
    ended = subprocess.run([sys.executable, "-c", ENDS, name, started_by], cwd=ROOT, check=False)
    assert ended.returncode == status
