"""Trainings whose workers are killed, or lose what they hold."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from medembed.training.record.checkpoint import Checkpoint
from medembed.training.run.private_ray_train import (
    latest_checkpoint,
)


@contextmanager
def killed_after_a_checkpoint(root: Path) -> Iterator[list[int]]:
    """Kills the training worker with SIGKILL once it writes its second checkpoint; yields the pids
    killed.
    """
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            time.sleep(0.02)
            if len(list(root.glob("*.run/checkpoint_*"))) > 1:  # the first one is surely whole
                for process in psutil.Process().children(recursive=True):
                    if "RayTrainWorker" in process.name() + " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    yield killed
    killer.join(timeout=10)


@contextmanager
def collected(root: Path) -> Iterator[set[int]]:
    """Steps of all checkpoints that a run reports meanwhile."""
    steps = {0}
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.005):
            with suppress(OSError, ValueError, TypeError):
                for run in root.glob("*.run"):
                    steps.add((latest_checkpoint(str(run)) or ("", 0))[1])

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    yield steps
    is_over.set()
    looker.join(timeout=10)


def losses(checkpoint: Checkpoint) -> list[tuple[int, float]]:
    """(step, loss) of each step of the run; with other random numbers than an undisturbed run's
    they would differ.
    """
    history = json.loads(checkpoint.read("history.json")["history.json"])
    return [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
