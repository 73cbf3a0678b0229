"""`medembed tune` under kill -9: trials, their workers, a node and the driver die, then the
searches are compared.

A search goes on by itself where a trial's process, its worker or a node died, and another node is
there; a dead driver's command runs again. Then all trials must be there at the points and with the
courses, to the last digit, of a search that nothing disturbed, and nothing of an unfinished
training left. The searches are without halving, so that none of their trials is ended early,
and no more trials than are drawn by chance. Exits with 1 if anything differs.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import psutil

from benchmarks.fault_injection import (
    Cluster,
    Job,
    kill_driver,
    kill_tree,
    s3_bucket,
    two_nodes,
    wait,
)
from benchmarks.faults import copy
from medembed import storage
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.tuning.records import Record, Records
from tests.tiny import make_encoder, write_pairs

ROOT = Path(__file__).parent.parent
KINDS = ("trial", "worker", "node", "driver")
TITLES = {"trial": "ImplicitFunc", "worker": "RayTrainWorker"}  # as Ray names these processes
TRIALS, RUNGS = 3, 3
_ARGUMENTS = (
    f"trials={TRIALS}",
    "pairs=240",
    "rungs=2",
    "halving=null",
    "seed=1",
    "encoding.workers=1",
    "mining.window=5",
    "training.dimensions=[32,8]",
    "training.select_dimension=8",
    "training.batch_size=8",
    "training.epochs=12",
    "training.learning_rate=0.005",
    "training.cpus_per_worker=1",
    "training.dev_documents=100",
    "search.training.temperature={log_uniform: [0.02, 0.2]}",
    "search.mining.negatives={integer: [0, 3]}",
)
_PATIENCE_S = 600


@dataclass(frozen=True)
class Case:
    """What is searched from, and what the undisturbed search found."""

    data: str
    model: str
    expected: Sequence[Record] = ()

    def start(self, folder: Path, output: str, environment: dict[str, str]) -> Job:
        """A `medembed tune`; without RAY_ADDRESS in the environment in a Ray of its own."""
        command = [
            sys.executable,
            "-m",
            "jobs.tune",
            f"data={self.data}",
            f"model={self.model}",
            f"output={output}",
            f"registry.workspace={folder}",
            f"registry.tracking_uri=sqlite:///{folder}/mlflow.db",
            *_ARGUMENTS,
        ]
        with open(folder / "log", "ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log
            )

    def find_faults(self, output: str) -> list[str]:
        """What differs from the undisturbed search."""
        found = read_trials(output)
        faults = [f"trial {one.number} differs" for one in self.expected if one not in found]
        faults += [f"{len(found)} trials"] if len(found) != TRIALS else []
        left = [name for name in storage.list_files(output) if "model.run/" in name]
        return faults + (["an unfinished training is left"] if left else [])


def read_trials(output: str) -> list[Record]:
    """What the trials are at present, without their times."""
    return [replace(record, seconds=0.0) for record in Records.read(output).all()]


def measured(output: str) -> int:
    """How often trials have been measured so far."""
    return sum(len(trial.course) for trial in read_trials(output))


def disturb(kind: str, job: Job, cluster: Cluster | None, draw: random.Random) -> str:
    """kill -9: of the second node, which another one replaces, of the driver, of a worker, or of
    all trials that run, which would wait for ever for what their own dead workers held.
    """
    if kind == "driver":
        kill_driver(job)
        return "killed"
    if cluster is not None:
        cluster.lose_node()
        cluster.add_node()
        return "killed"
    below = psutil.Process(job.pid).children(recursive=True)
    found = [each for each in below if TITLES[kind] in " ".join(each.cmdline())]
    if not found:
        return "none there"
    for each in found if kind == "trial" else [draw.choice(found)]:
        each.kill()
    return "killed"


def search_once(
    kind: str, case: Case, folder: Path, root: str, cluster: Cluster | None, draw: random.Random
) -> tuple[str, list[str]]:
    """(what was done, what is wrong then)."""
    folder.mkdir(exist_ok=True)
    output, environment = storage.join(root, "out"), cluster.environment if cluster else {}
    moment, told = draw.randint(1, TRIALS * RUNGS - 2), "undisturbed"
    job = case.start(folder, output, environment)
    try:
        if kind:
            wait(job, lambda: measured(output) >= moment, every_s=0.2)
            time.sleep(draw.uniform(0, 2))
            told = disturb(kind, job, cluster, draw) if job.poll() is None else "too late"
            if kind == "driver":
                job = case.start(folder, output, environment)
        if status := job.wait(_PATIENCE_S):
            return told, [f"exit status {status}: {(folder / 'log').read_text().splitlines()[-1]}"]
    except subprocess.TimeoutExpired:
        return told, [f"no end after {_PATIENCE_S} s"]
    finally:
        kill_tree(job)
    faults = case.find_faults(output) + ([] if told in ("killed", "undisturbed") else [told])
    return f"{told} after {moment} of {TRIALS * RUNGS} measurements" if kind else told, faults


@click.command()
@click.option("--kills", default=8, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw, start, wrong = random.Random(seed), time.monotonic(), 0
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mnf-", dir="/tmp") as scratch, s3_bucket() as bucket:
        root = Path(scratch)
        make_encoder(root / "tiny")
        dataset = prepare(
            SourceConfig(path=str(write_pairs(root / "pairs.jsonl"))), SplitConfig(), f"{root}/data"
        )
        case = Case(dataset.uri, str(root / "tiny"))
        told, faults = search_once("", case, root / "usual", f"{root}/usual", None, draw)
        if faults:
            raise SystemExit("; ".join(faults))
        case = Case(case.data, case.model, read_trials(f"{root}/usual/out"))
        print(
            (
                f"{time.monotonic() - start:.0f} s: {told} search of {len(case.expected)} trials "
                "is there"
            ),
            flush=True,
        )
        for number in range(kills):
            what, folder = kind[number % len(kind)], root / f"{number:03}"
            folder.mkdir()
            if what == "node":
                place = f"{bucket}/{number:03}"
                moved = Case(
                    copy(case.data, f"{place}/data"),
                    copy(case.model, f"{place}/model"),
                    case.expected,
                )
                with two_nodes(folder, bucket) as cluster:
                    told, faults = search_once(what, moved, folder, place, cluster, draw)
            else:
                told, faults = search_once(what, case, folder, str(folder), None, draw)
            wrong += bool(faults)
            print(
                f"{number + 1:3} {what:6} {told}: {'; '.join(faults) or 'same trials'}", flush=True
            )
    print(
        f"{kills} kills, {time.monotonic() - start:.0f} s: {kills - wrong} searches ended "
        f"right, {wrong} not"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
