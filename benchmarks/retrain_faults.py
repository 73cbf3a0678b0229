"""Retraining under kill -9: the driver dies at the boundary of each stage and inside it, and the
command runs again.

A first drop makes the first champion, a second one the next (its gate forced). One of both calls is
killed at a stage, then both are run to the end. Data set, weights, vectors, aliases and the number
of versions must be those of a run that nothing disturbed. Exits with 1 if anything differs.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.fault_injection import Job, kill_driver, kill_tree
from medembed.encoding.table import find_table
from medembed.registry.catalog import find_versions
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.schema import content_hash
from medembed.tags import Lineage
from tests.finetuning.drops import write_drop
from tests.tiny import make_encoder

ROOT = Path(__file__).parent.parent
STAGES = (
    "grow the data set",
    "encode what changed with the champion",
    "mine hard negatives",
    "train",
    "try out on the dev sample",
    "encode with the candidate",
    "measure both",
    "register",
)
_ARGUMENTS = (
    "settle_s=0",
    "splits.dev=0.15",
    "splits.test=0.25",
    "training.dimensions=[32,8]",
    "training.select_dimension=8",
    "training.batch_size=16",
    "training.epochs=4",
    "training.learning_rate=0.003",
    "training.checkpoint_steps=20",
    "training.cpus_per_worker=1",
    "training.dev_documents=100",
    "encoding.workers=1",
    "mining.window=5",
    "evaluation.bootstrap_samples=500",
    "gate.force=true",
    "gate.reason=faults",
)
_PATIENCE_S = 600


def start(folder: Path) -> Job:
    """A `medembed retrain` of what has landed in the folder."""
    command = [
        sys.executable,
        "-m",
        "jobs.retrain",
        f"source.path={folder}/landing",
        f"model={folder.parent}/tiny",
        f"output={folder}/out",
        f"registry.workspace={folder}",
        *_ARGUMENTS,
    ]
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=log, stderr=log)


def finish(folder: Path) -> None:
    job = start(folder)
    try:
        if status := job.wait(_PATIENCE_S):
            last = (folder / "log").read_text().splitlines()[-1]
            raise SystemExit(f"status {status}: {last}")
    finally:
        kill_tree(job)


def kill_at(folder: Path, stage: str, delay_s: float) -> str:
    """Kills a call so long after a stage began; says how far it was."""
    before = (folder / "log").read_text().count(f"== {stage}") if (folder / "log").exists() else 0
    job = start(folder)
    wanted = f"== {stage}" if stage != "register" else "   measure both"
    before = (folder / "log").read_text().count(wanted) if stage == "register" else before
    while job.poll() is None and (folder / "log").read_text().count(wanted) <= before:
        time.sleep(0.02)
    time.sleep(delay_s)
    if job.poll() is not None:
        return "too late"
    kill_driver(job)
    return "killed"


def state(folder: Path) -> dict[str, Any]:
    """What people see in the end."""
    registry = open_registry(RegistryConfig(workspace=str(folder)), on_cluster=False)
    found: dict[str, Any] = {
        "aliases": registry.aliases("medembed"),
        "versions": len(find_versions(registry, Lineage())),
    }
    for alias, number in found["aliases"].items():
        tags = registry.resolve(f"models:/medembed/{number}").tags
        table = find_table(tags["table_uri"], int(tags["table_version"]))
        assert table is not None
        fragments = table.keys()
        names = sorted(name for keys in fragments for name in keys.ids.to_pylist())
        found[alias] = {
            name: tags[name] for name in ("dataset", "encoder", "decision", "increments", "parent")
        }
        found[alias]["vectors"] = content_hash(table.lookup(names).tobytes())
    return found


def play(root: Path, call: int, stage: str, delay_s: float) -> tuple[str, dict[str, Any]]:
    """Both drops, one of the calls killed; (what happened, the state in the end).

    All is at one place, as URIs are absolute: where the second call is killed, what the first one
    left is put back.
    """
    folder, after_first, told = root / "work", root / "after-first", "undisturbed"
    shutil.rmtree(folder, ignore_errors=True)
    if call == 2:
        shutil.copytree(after_first, folder)
    for number, grades in enumerate((range(20), range(20, 40)), start=1):
        if number == 1 and call == 2:
            continue
        write_drop(folder / "landing" / f"{number}.jsonl", grades)
        if number == call:
            told = kill_at(folder, stage, delay_s)
        finish(folder)
        if number == 1 and not after_first.exists():
            shutil.copytree(folder, after_first)
    return told, state(folder)


@click.command()
@click.option("--kills", default=16, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(kills: int, seed: int) -> None:
    """Prints a line for each kill and a summary."""
    draw, start_s, wrong = random.Random(seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="mrf-", dir="/tmp") as scratch:
        root = Path(scratch)
        make_encoder(root / "tiny")
        _, expected = play(root, 0, "", 0)
        print(f"{time.monotonic() - start_s:.0f} s: the undisturbed state is there", flush=True)
        for number in range(kills):
            stage, call = STAGES[number % len(STAGES)], 2 - number // len(STAGES) % 2
            # At the boundary in one call, inside the stage in the other.
            delay_s = 0.0 if (number + call) % 2 == 0 else draw.uniform(0.1, 2.0)
            told, found = play(root, call, stage, delay_s)
            differing = [name for name in expected if found.get(name) != expected[name]]
            wrong += bool(differing) or told != "killed"
            line = f"{number + 1:3} call {call}, {delay_s:.1f} s into {stage}: {told}"
            print(
                f"{line}, {'differs: ' + json.dumps(differing) if differing else 'same end state'}",
                flush=True,
            )
    print(
        f"{kills} kills, {time.monotonic() - start_s:.0f} s: {kills - wrong} ended right, "
        f"{wrong} not"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
