"""Retraining under kill -9: the driver dies at the boundary of each stage and inside it, and the
command runs again.

A first drop makes the first champion, a second one the next (its gate forced). One of both calls is
killed at a stage, then both are run to the end. Data set, weights, vectors, aliases and the number
of versions must be those of a run that nothing disturbed. Exits with 1 if anything differs.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.fault_injection import Job, kill_driver
from benchmarks.fault_run import Outcome, report, run_undisturbed, start
from medembed.encoding.table import find_table
from medembed.registry.catalog import find_versions
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.schema import content_hash
from medembed.tags import Lineage
from tests.finetuning.drops import write_drop
from tests.tiny import make_encoder

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


def retrain(folder: Path) -> Job:
    """Start a `medembed retrain` of what has landed in the folder."""
    command = [
        "-m",
        "jobs.retrain",
        f"source.path={folder}/landing",
        f"model={folder.parent}/tiny",
        f"output={folder}/out",
        f"registry.workspace={folder}",
        *_ARGUMENTS,
    ]
    return start(command, folder / "log")


def kill_at(folder: Path, stage: str, delay_s: float) -> bool:
    """Kill a call so long after a stage began; return whether it was still running."""
    log = folder / "log"
    # The log has no line of its own for the last stage, which begins when the one before ends.
    line = "   measure both" if stage == "register" else f"== {stage}"
    before = log.read_text().count(line) if log.exists() else 0
    job = retrain(folder)
    while job.poll() is None and log.read_text().count(line) <= before:
        time.sleep(0.02)
    time.sleep(delay_s)
    is_running = job.poll() is None
    if is_running:
        kill_driver(job)
    return is_running


def state(folder: Path) -> dict[str, Any]:
    """Return what people see in the end."""
    registry = open_registry(RegistryConfig(workspace=str(folder)), on_cluster=False)
    aliases = registry.aliases("medembed")
    seen: dict[str, Any] = {
        "aliases": aliases,
        "versions": len(find_versions(registry, Lineage())),
    }
    for alias, number in aliases.items():
        tags = registry.resolve(f"models:/medembed/{number}").tags
        table = find_table(tags["table_uri"], int(tags["table_version"]))
        assert table is not None
        names: list[str] = []
        fragments = table.keys()
        for keys in fragments:
            names += keys.ids.to_pylist()
        for name in ("dataset", "encoder", "decision", "increments", "parent"):
            seen[f"{alias} {name}"] = tags[name]
        seen[f"{alias} vectors"] = content_hash(table.lookup(sorted(names)).tobytes())
    return seen


def play(root: Path, call: int, stage: str, delay_s: float) -> bool:
    """Run both drops and kill one of the calls; return whether it was still running.

    All is at one place, as URIs are absolute: where the second call is killed, what the first one
    left is put back.
    """
    folder = root / "work"
    after_first = root / "after-first"
    was_killed = False
    shutil.rmtree(folder, ignore_errors=True)
    if call == 2:
        shutil.copytree(after_first, folder)
    for number, grades in enumerate((range(20), range(20, 40)), start=1):
        if number == 1 and call == 2:
            continue
        write_drop(folder / "landing" / f"{number}.jsonl", grades)
        if number == call:
            was_killed = kill_at(folder, stage, delay_s)
        run_undisturbed(retrain(folder), folder / "log")
        if number == 1 and not after_first.exists():
            shutil.copytree(folder, after_first)
    return was_killed


def kill_all(root: Path, kills: int, draw: random.Random) -> Iterator[Outcome]:
    """Kill at each stage in turn, at its beginning in one call and inside it in the other."""
    play(root, 0, "", 0)
    expected = state(root / "work")
    for number in range(kills):
        stage = STAGES[number % len(STAGES)]
        call = 2 - number // len(STAGES) % 2
        delay_s = 0.0 if (number + call) % 2 == 0 else draw.uniform(0.1, 2.0)
        faults = [] if play(root, call, stage, delay_s) else ["too late"]
        seen = state(root / "work")
        faults += [f"{name} differs" for name in expected if seen.get(name) != expected[name]]
        yield Outcome(f"call {call}, {delay_s:.1f} s into {stage}", faults)


@click.command()
@click.option("--kills", default=16, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(kills: int, seed: int) -> None:
    """Prints a line for each kill and a summary."""
    with tempfile.TemporaryDirectory(prefix="mrf-", dir="/tmp") as scratch:
        root = Path(scratch)
        make_encoder(root / "tiny")
        report(kill_all(root, kills, random.Random(seed)))


if __name__ == "__main__":
    main()
