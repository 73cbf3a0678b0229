"""Training under kill -9: workers, nodes and drivers die at seeded random moments, then the weights
are compared.

A run whose worker or node died goes on by itself, once another node is there; a dead driver's
command runs again. Then weights must be those of a run that nothing disturbed, bit for bit, the dev
score too, and the run's folder gone. The same where Ray was told beforehand that the node will be
taken away ("preempt"); the checkpoint that this asks for must be there before the node is gone.

An elastic run goes on with one worker where no other node comes ("shrink"), and with two once a
second one joins ("grow"), as the number of its steps must say: one worker's are half as large. Its
weights are others. The dev score of a run that shrank must be no lower than other seeds explain:
above the lower end of a 95% prediction interval for one more undisturbed run of two workers, from
five of them. A higher score is no fault, as it has made more steps. Exits with 1 if anything is
wrong.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.fault_injection import (
    Cluster,
    Job,
    actors,
    kill_driver,
    kill_tree,
    s3_bucket,
    two_nodes,
    wait,
)
from benchmarks.fault_run import Kill, Outcome, copy, finish, plan, report
from benchmarks.train_case import (
    CONFIG,
    LONG,
    Case,
    last_step,
    latest_step,
    least_expected,
    make_case,
    read_result,
    reports,
)
from medembed.errors import StorageError
from medembed.training.config import TrainingConfig
from medembed.training.model.principal_axes import find_start
from medembed.training.run.run_folder import run_folder

KINDS = ("driver", "node", "worker", "shrink", "preempt", "grow")
IN_PRIVATE = ("driver", "worker")  # in a Ray of their own; the others in a cluster of two nodes
_NOTICE_S = 8


@click.command()
@click.option("--kills", default=12, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw = random.Random(seed)
    os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"] = "1"
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mtf-", dir="/tmp") as scratch, s3_bucket() as bucket:
        folder = Path(scratch)
        cases = make_cases(folder, kind)
        report(kill_all(plan(kills, kind, draw, ("end", "end")), cases, folder, bucket, draw))


def make_cases(folder: Path, kinds: tuple[str, ...]) -> dict[str, Case]:
    """Return {kind: what it trains and what must come out}, after the undisturbed runs."""
    case = make_case(folder)
    cases = {}
    if set(kinds) & {"driver", "node", "worker"}:
        cases |= dict.fromkeys(("driver", "node", "worker"), case.undisturbed(folder / "usual"))
    if "preempt" in kinds:
        cases["preempt"] = replace(case, config=LONG).undisturbed(folder / "long")
    if "shrink" in kinds:
        scores = case.measure_seeds(folder / "seeds")
        cases["shrink"] = replace(case, config=elastic(CONFIG), least=least_expected(scores))
        listed = ", ".join(f"{score:.3f}" for score in scores)
        least = cases["shrink"].least
        print(f"dev scores of other seeds: {listed}; expected of another one: {least:.3f} or more")
    if "grow" in kinds:
        cases["grow"] = replace(case, config=elastic(CONFIG.model_copy(update={"epochs": 120})))
    return cases


def kill_all(
    planned: Sequence[Kill], cases: dict[str, Case], folder: Path, bucket: str, draw: random.Random
) -> Iterator[Outcome]:
    """Disturb a run for each kill. Nodes die in a cluster of two; workers and drivers in a Ray of
    their own.
    """
    for number, planned_kill in enumerate(planned):
        kind, moment = planned_kill
        share = moment if isinstance(moment, float) else 1.0
        case = cases[kind]
        here = folder / f"{number:03}"
        here.mkdir()
        if kind in IN_PRIVATE:
            yield kill_once(kind, share, case, str(here / "m"), here, draw, None)
            continue
        place = f"{bucket}/{here.name}"
        moved = replace(
            case,
            data=copy(case.data, f"{place}/data"),
            examples=copy(case.examples, f"{place}/examples"),
            model=copy(case.model, f"{place}/model"),
        )
        with two_nodes(here, bucket) as cluster:
            if kind == "grow":
                cluster.lose_node()
            yield kill_once(kind, share, moved, f"{place}/m", here, draw, cluster)


def kill_once(
    kind: str,
    moment: float,
    case: Case,
    output: str,
    folder: Path,
    draw: random.Random,
    cluster: Cluster | None,
) -> Outcome:
    """Start a run, disturb it at the moment, and start again what does not go on by itself."""
    environment = cluster.environment if cluster else {}
    log = folder / "log"
    job = case.start(output, log, environment)
    faults: list[str] = []
    try:
        wait_for(kind, moment, job, case, output, cluster)
        time.sleep(draw.uniform(0, 1))
        line = f"{kind:7} {moment:4.0%} after {reports(output):2} checkpoints"
        if job.poll() is not None:
            line += ", too late"
        elif cluster:
            faults += DISTURBANCES[kind](job, output, cluster)
        else:
            job = kill(kind, job, lambda: case.start(output, log), draw)
        if end := finish(job, log):
            return Outcome(line, faults + end)
    finally:
        kill_tree(job)
    if kind == "shrink" and last_step(output) <= case.steps(2):
        faults.append("no step by one worker")
    if kind == "grow" and last_step(output) >= case.steps(1):
        faults.append("no step by two workers")
    score = read_result(output).dev["score"]
    return Outcome(f"{line}, dev {score:.3f}", faults + case.find_faults(output))


def wait_for(
    kind: str, moment: float, job: Job, case: Case, output: str, cluster: Cluster | None
) -> None:
    """Return when that share of the checkpoints is there, and something that trains; for a notice,
    seconds after the start, before any usual checkpoint.
    """
    if kind == "preempt":
        wait(job, lambda: has_begun(output), every_s=0.2)
        time.sleep(moment * _NOTICE_S)
        return
    # half a minute goes by until Ray has seen a node that joined
    share = 0.2 if kind == "grow" else 1.0
    wait(job, lambda: reports(output) >= int(moment * share * case.evaluations()))
    wait(job, lambda: bool(actors(cluster.nodes[-1] if cluster else job)))


def kill(kind: str, job: Job, again: Callable[[], Job], draw: random.Random) -> Job:
    """Kill -9 a worker or the driver; return the job that goes on."""
    if kind == "driver":
        kill_driver(job)
        return again()
    if workers := actors(job):
        draw.choice(workers).kill()
    return job


def replace_node(job: Job, output: str, cluster: Cluster) -> list[str]:
    """Kill the second node and add another one."""
    cluster.lose_node()
    cluster.add_node()
    return []


def shrink(job: Job, output: str, cluster: Cluster) -> list[str]:
    """Kill the second node and add none."""
    cluster.lose_node()
    return []


def grow(job: Job, output: str, cluster: Cluster) -> list[str]:
    """Add a second node."""
    cluster.add_node()
    return []


def preempt(job: Job, output: str, cluster: Cluster) -> list[str]:
    """Kill the second node when a notice has run out, and add another one; return what is wrong
    with the checkpoint.
    """
    cluster.announce_loss(_NOTICE_S)
    gone = time.monotonic() + _NOTICE_S
    cluster.add_node()
    wait(job, lambda: latest_step(output) > 0 or time.monotonic() > gone, every_s=0.1)
    step = latest_step(output)
    time.sleep(max(0.0, gone - time.monotonic()))
    cluster.lose_node()
    if job.poll() is not None:
        return ["ended before the node was gone"]
    if step % LONG.checkpoint_steps == 0:
        return ["no checkpoint between the notice and the node's end"]
    return []


def has_begun(output: str) -> bool:
    """Say whether all is there that a run makes before its first step."""
    with suppress(StorageError):
        return find_start(run_folder(output)) is not None
    return False


def elastic(config: TrainingConfig) -> TrainingConfig:
    return config.model_copy(update={"workers": (1, 2)})


DISTURBANCES = {"node": replace_node, "shrink": shrink, "preempt": preempt, "grow": grow}


if __name__ == "__main__":
    main()
