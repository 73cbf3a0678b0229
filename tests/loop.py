"""The whole loop as a command of the tests: its settings, its jobs, what they leave."""

import importlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jobs.cli import job_config
from medembed.config import load_config

ROOT = Path(__file__).parent.parent


SETTINGS = [
    "training.dimensions=[32,8]",
    "training.select_dimension=8",
    "training.batch_size=16",
    "training.epochs=4",
    "training.learning_rate=5e-3",
    "training.checkpoint_steps=20",
    "training.cpus_per_worker=1",
    "training.dev_documents=60",
    "training.loss.hold=0",
    "encoding.workers=2",
    "mining.margin=0",
    "splits.test=0.3",
]


def run(job: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"jobs.{job}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )


class Finished(NamedTuple):
    """The folder in which a job worked, and its summary."""

    root: Path
    summary: dict[str, Any]


def finish(name: str, arguments: list[str]) -> dict[str, Any]:
    """Run a job in this process, on the tests' Ray, and return its summary."""
    job = importlib.import_module(f"jobs.{name}")
    summary: dict[str, Any] = job.run(load_config(job_config(name), arguments))
    return summary


def promote_as_printed(summary: dict[str, Any]) -> None:
    """Run the command that a summary prints."""
    (line,) = [line for line in summary["lines"] if "medembed promote" in line]
    _, job, *arguments = shlex.split(line[line.index("medembed promote") :])
    finish(job, arguments)


@dataclass(frozen=True)
class TwoNodes:
    """What two nodes did: the summary of the loop, and a run that was given a local path."""

    summary: dict[str, Any]
    refused: subprocess.CompletedProcess[str]
