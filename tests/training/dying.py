"""Kill the workers of a training, and tell what it logged."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from medembed.training.record.checkpoint import Checkpoint


@contextmanager
def killed_after_a_checkpoint(root: Path) -> Iterator[list[int]]:
    """Kill the training workers once they write their second checkpoint; yield the pids killed."""
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


def losses(checkpoint: Checkpoint) -> list[tuple[int, float]]:
    """Return (step, loss) of each step: with other random numbers they would be others."""
    history = json.loads(checkpoint.read("history.json")["history.json"])
    return [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
