"""Training under kill -9: workers, nodes and drivers die at seeded random moments, then the weights are compared.

A run whose worker or node died goes on by itself, once another node is there; a dead driver's command runs again. Then
weights must be those of a run that nothing disturbed, bit for bit, the dev score too, and the run's folder gone. A
node that no other one replaces ("shrink") leaves an elastic run with one worker, whose weights are others: there only
the end is awaited, and the dev score printed. Exits with 1 if any differs.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.faults import copy, plan
from benchmarks.killing import Cluster, Job, actors, kill_driver, kill_tree, s3_bucket, two_nodes, wait
from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import to_table
from medembed.data.prepare import prepare
from medembed.errors import StorageError
from medembed.mining.examples import KIND, open_examples
from medembed.schema import EXAMPLES, fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.loop import count_steps
from medembed.training.run import SNAPSHOT, run_folder
from tests.tiny import WIDTH, make_encoder, write_pairs

ROOT = Path(__file__).parent.parent
KINDS = ("driver", "node", "worker", "shrink")
PAIRS = 240
CONFIG = TrainingConfig(
    dimensions=(32, 8), select_dimension=8, batch_size=8, workers=2, cpus_per_worker=1, epochs=12, learning_rate=5e-3,
    checkpoint_steps=10, dev_queries=20, dev_documents=40,
)  # fmt: skip
_PATIENCE_S = 300.0
_TRAIN = """
import json, logging, os, sys
from jobs.session import ray_session
from medembed.data.dataset import open_dataset
from medembed.mining.examples import open_examples
from medembed.training.config import TrainingConfig
from medembed.training.trainer import train
data, examples, model, output, config = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
with ray_session(os.environ.get("RAY_ADDRESS")):
    train(open_dataset(data), open_examples(examples), model, output, TrainingConfig(**json.loads(config)))
"""


@dataclass(frozen=True)
class Case:
    """What is trained from, and the weights' fingerprint and the dev entries that must come out."""

    data: str
    examples: str
    model: str
    config: TrainingConfig = CONFIG
    weights: str = ""
    dev: dict[str, Any] | None = None

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """A driver of it; without RAY_ADDRESS in the environment in a Ray of its own."""
        config = self.config.model_dump_json()
        command = [sys.executable, "-c", _TRAIN, self.data, self.examples, self.model, output, config]
        with open(log, "ab") as stream:
            return subprocess.Popen(
                command, cwd=ROOT, env=os.environ | (environment or {}), stdout=stream, stderr=stream
            )

    def evaluations(self) -> int:
        """How many checkpoints a run reports before its last step."""
        count = open_examples(self.examples).manifest["counts"]["examples"]
        return int((count_steps(count, self.config) - 1) // self.config.checkpoint_steps)

    def find_faults(self, output: str) -> list[str]:
        """What differs from the undisturbed run."""
        weights, dev = read_result(output)
        faults = []
        if self.config == CONFIG:
            faults += [] if weights == self.weights else ["weights differ"]
            faults += [] if dev == self.dev else [f"dev {dev} for {self.dev}"]
        return faults + (["its run's folder is left"] if storage.exists(run_folder(output)) else [])


@click.command()
@click.option("--kills", default=9, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(KINDS), multiple=True, default=KINDS, show_default=True)
def main(kills: int, seed: int, kind: tuple[str, ...]) -> None:
    """Prints a line for each kill and a summary."""
    draw, start, wrong = random.Random(seed), time.monotonic(), 0
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "1"
    os.environ.pop("RAY_ADDRESS", None)
    # A short folder: Ray puts socket paths below it.
    with tempfile.TemporaryDirectory(prefix="mtf-", dir="/tmp") as scratch, s3_bucket() as bucket:
        folder = Path(scratch)
        case = measure_undisturbed(make_case(folder), folder)
        print(f"{time.monotonic() - start:.0f} s: undisturbed weights are there", flush=True)
        for number, (what, moment) in enumerate(plan(kills, kind, draw, ("end", "end"))):
            share = moment if isinstance(moment, float) else 1.0
            line, faults = kill_once(what, share, case, folder / f"{number:03}", bucket, draw)
            wrong += bool(faults)
            print(
                f"{number + 1:3} {line}: {'; '.join(faults) or ('ended' if what == 'shrink' else 'same')}", flush=True
            )
    print(f"{kills} kills, {time.monotonic() - start:.0f} s: {kills - wrong} models as if undisturbed, {wrong} not")
    sys.exit(wrong > 0)


def kill_once(
    kind: str, moment: float, case: Case, folder: Path, bucket: str, draw: random.Random
) -> tuple[str, list[str]]:
    """(what was done, what is wrong then). Nodes die in a cluster of two; workers and drivers in a Ray of their own."""
    folder.mkdir()
    if kind not in ("node", "shrink"):
        return kill_and_finish(kind, moment, case, str(folder / "m"), folder, draw, None)
    place = f"{bucket}/{folder.name}"
    places = {name: copy(getattr(case, name), f"{place}/{name}") for name in ("data", "examples", "model")}
    workers = (1, 2) if kind == "shrink" else 2
    moved = replace(case, **places, config=CONFIG.model_copy(update={"workers": workers}))
    with two_nodes(folder, bucket) as cluster:
        return kill_and_finish(kind, moment, moved, f"{place}/m", folder, draw, cluster)


def kill_and_finish(
    kind: str, moment: float, case: Case, output: str, folder: Path, draw: random.Random, cluster: Cluster | None
) -> tuple[str, list[str]]:
    """Starts, kills at the moment, and starts again what does not go on by itself."""
    environment, log = cluster.environment if cluster else {}, folder / "log"
    job = case.start(output, log, environment)
    try:
        wait(job, lambda: reports(output) >= int(moment * case.evaluations()))
        wait(job, lambda: bool(actors(cluster.nodes[1] if cluster else job)))
        time.sleep(draw.uniform(0, 1))
        line = f"{kind:6} {moment:4.0%} after {reports(output):2} checkpoints"
        if job.poll() is None:
            job = kill(kind, job, lambda: case.start(output, log, environment), cluster, draw)
        else:
            line += ", too late"
        if status := job.wait(_PATIENCE_S):
            return line, [f"exit status {status}: {log.read_text().splitlines()[-1]}"]
    except subprocess.TimeoutExpired:
        return line, [f"no end after {_PATIENCE_S:.0f} s"]
    finally:
        kill_tree(job)
    return f"{line}, dev {read_result(output)[1]['score']:.3f}", case.find_faults(output)


def kill(kind: str, job: Job, again: Callable[[], Job], cluster: Cluster | None, draw: random.Random) -> Job:
    """kill -9 of a worker, of the second node, which another one replaces, or of the driver; the job that goes on."""
    if kind == "driver":
        kill_driver(job)
        return again()
    if cluster:
        cluster.lose_node()
        if kind == "node":
            cluster.add_node()
    elif found := actors(job):
        draw.choice(found).kill()
    return job


def reports(output: str) -> int:
    """Checkpoints that a run has reported so far."""
    with suppress(StorageError, ValueError):
        return int(json.loads(storage.read_bytes(storage.join(run_folder(output), SNAPSHOT)))["current_report_index"])
    return 0


def read_result(output: str) -> tuple[str, dict[str, Any]]:
    """(fingerprint of all weights, dev entries) of a checkpoint."""
    manifest = read_manifest(output, "checkpoint")
    return manifest["fingerprint"], manifest["dev"]


def measure_undisturbed(case: Case, folder: Path) -> Case:
    """The case with what a run that nothing disturbs gives."""
    output, log = str(folder / "undisturbed"), folder / "undisturbed.log"
    if case.start(output, log).wait(_PATIENCE_S):
        raise SystemExit(log.read_text())
    weights, dev = read_result(output)
    return replace(case, weights=weights, dev=dev)


def make_case(folder: Path) -> Case:
    """A tiny encoder, pairs, and examples with two negatives each, drawn by number."""
    model = str(make_encoder(folder / "tiny"))
    dataset = prepare(
        SourceConfig(path=str(write_pairs(folder / "pairs.jsonl", PAIRS))), SplitConfig(), str(folder / "data")
    )
    texts = dict(zip(*(dataset.corpus()[name].to_pylist() for name in ("document_id", "text")), strict=True))
    ids, rows = sorted(texts), []
    for number, query in enumerate(dataset.queries("train").to_pylist()):
        for positive in sorted(dataset.qrels()[query["query_id"]]):
            negatives = [name for name in (ids[number % len(ids)], ids[-1 - number % len(ids)]) if name != positive]
            rows.append({
                "query_id": query["query_id"], "query": query["text"], "positive_id": positive,
                "positive": texts[positive], "negative_ids": negatives,
                "negatives": [texts[each] for each in negatives],
            })  # fmt: skip
    with NewOutput(str(folder / "examples"), KIND, fingerprint(rows)) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        output.commit({"width": WIDTH, "counts": {"examples": len(rows)}, "config": {"negatives": 2}})
    return Case(dataset.uri, str(folder / "examples"), model)


if __name__ == "__main__":
    main()
