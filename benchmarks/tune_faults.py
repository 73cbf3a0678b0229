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
import tempfile
import time
from collections.abc import Iterator, Sequence
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
from benchmarks.fault_run import Outcome, copy, finish, report, run_undisturbed, start
from medembed import storage
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.tuning.trials import TrialRecord, Trials
from tests.tiny import make_encoder, write_pairs

KINDS = ("trial", "worker", "node", "driver")
TITLES = {"trial": "ImplicitFunc", "worker": "RayTrainWorker"}  # as Ray names these processes
TRIALS = 3
RUNGS = 3
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


@dataclass(frozen=True)
class Case:
    """What is searched from, and what the undisturbed search found."""

    data: str
    model: str
    expected: Sequence[TrialRecord] = ()

    def start(self, folder: Path, output: str, environment: dict[str, str]) -> Job:
        """Start a `medembed tune` of it."""
        command = [
            "-m",
            "jobs.tune",
            f"data={self.data}",
            f"model={self.model}",
            f"output={output}",
            f"registry.workspace={folder}",
            f"registry.tracking_uri=sqlite:///{folder}/mlflow.db",
            *_ARGUMENTS,
        ]
        return start(command, folder / "log", environment)

    def find_faults(self, output: str) -> list[str]:
        """Return what differs from the undisturbed search."""
        trials = read_trials(output)
        faults = [f"trial {trial.number} differs" for trial in self.expected if trial not in trials]
        if len(trials) != TRIALS:
            faults.append(f"{len(trials)} trials")
        if any("model.run/" in name for name in storage.list_files(output)):
            faults.append("an unfinished training is left")
        return faults


def read_trials(output: str) -> list[TrialRecord]:
    """Return what the trials are at present, without their times."""
    return [replace(record, seconds=0.0) for record in Trials.read(output).all()]


def measured(output: str) -> int:
    """Return how often trials have been measured so far."""
    return sum(len(trial.course) for trial in read_trials(output))


def disturb(kind: str, job: Job, cluster: Cluster | None, draw: random.Random) -> bool:
    """Kill -9 the driver, the second node, which another one replaces, a worker, or all trials that
    run. Return whether there was one.

    A trial alone would leave the others waiting for what its dead workers held.
    """
    if kind == "driver":
        kill_driver(job)
        return True
    if cluster is not None:
        cluster.lose_node()
        cluster.add_node()
        return True
    below = psutil.Process(job.pid).children(recursive=True)
    targets = [process for process in below if TITLES[kind] in " ".join(process.cmdline())]
    for process in targets if kind == "trial" else targets[:1]:
        process.kill()
    return bool(targets)


def search_once(
    kind: str, case: Case, folder: Path, root: str, cluster: Cluster | None, draw: random.Random
) -> Outcome:
    """Disturb one search."""
    output = storage.join(root, "out")
    log = folder / "log"
    environment = cluster.environment if cluster else {}
    moment = draw.randint(1, TRIALS * RUNGS - 2)
    line = f"{kind:6} after {moment} of {TRIALS * RUNGS} measurements"
    job = case.start(folder, output, environment)
    faults = []
    try:
        wait(job, lambda: measured(output) >= moment, every_s=0.2)
        time.sleep(draw.uniform(0, 2))
        if job.poll() is not None:
            faults.append("too late")
        elif not disturb(kind, job, cluster, draw):
            faults.append("nothing there to kill")
        if kind == "driver":
            job = case.start(folder, output, environment)
        if end := finish(job, log):
            return Outcome(line, faults + end)
    finally:
        kill_tree(job)
    return Outcome(line, faults + case.find_faults(output))


def kill_all(
    kills: int, kinds: Sequence[str], case: Case, root: Path, bucket: str, draw: random.Random
) -> Iterator[Outcome]:
    """Disturb a search for each kill; nodes die in a cluster of two."""
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        folder = root / f"{number:03}"
        folder.mkdir()
        if kind != "node":
            yield search_once(kind, case, folder, str(folder), None, draw)
            continue
        place = f"{bucket}/{number:03}"
        data = copy(case.data, f"{place}/data")
        moved = replace(case, data=data, model=copy(case.model, f"{place}/model"))
        with two_nodes(folder, bucket) as cluster:
            yield search_once(kind, moved, folder, place, cluster, draw)


def make_case(root: Path) -> Case:
    """Make the data and the model, and search them undisturbed."""
    make_encoder(root / "tiny")
    source = SourceConfig(path=str(write_pairs(root / "pairs.jsonl")))
    case = Case(prepare(source, SplitConfig(), f"{root}/data").uri, str(root / "tiny"))
    usual = root / "usual"
    usual.mkdir()
    run_undisturbed(case.start(usual, f"{usual}/out", {}), usual / "log")
    return replace(case, expected=read_trials(f"{usual}/out"))


@click.command()
@click.option("--kills", default=8, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mnf-", dir="/tmp") as scratch, s3_bucket() as bucket:
        root = Path(scratch)
        report(kill_all(kills, kind, make_case(root), root, bucket, random.Random(seed)))


if __name__ == "__main__":
    main()
