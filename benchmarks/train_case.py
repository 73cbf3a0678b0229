"""What the fault benchmark of training trains: a tiny encoder on examples drawn by number, and what
must come out.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import t

from benchmarks.fault_injection import Job
from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import to_table
from medembed.data.prepare import prepare
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, ExamplesManifest
from medembed.mining.examples import open_examples
from medembed.schema import EXAMPLES, fingerprint
from medembed.training.config import TrainingConfig
from medembed.training.run.build import count_steps
from medembed.training.run.private_ray_train import SNAPSHOT, latest_checkpoint
from medembed.training.run.run_folder import run_folder
from tests.tiny import make_encoder, write_pairs

ROOT = Path(__file__).parent.parent
PAIRS = 240
CONFIG = TrainingConfig(
    dimensions=(32, 8),
    select_dimension=8,
    batch_size=8,
    workers=2,
    cpus_per_worker=1,
    epochs=12,
    learning_rate=5e-3,
    checkpoint_steps=10,
    dev_queries=20,
    dev_documents=40,
)
# Long enough for a notice to run out, with no usual checkpoint before.
LONG = CONFIG.model_copy(update={"epochs": 60, "checkpoint_steps": 500})
PATIENCE_S = 600.0
_SEEDS = (1, 2, 3, 4, 5)
# Looks for more nodes every few seconds rather than once a minute.
_TRAIN = """
import json, logging, os, sys
from jobs.ray_session import ray_session
from medembed.data.dataset import open_dataset
from medembed.mining.examples import open_examples
from medembed.training.config import TrainingConfig
from medembed.training.train import train
data, examples, model, runs = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
with ray_session(os.environ.get("RAY_ADDRESS")):
    from medembed.training.run import fit
    fit.LOOKS_FOR_NODES_S = 5
    for output, config in json.loads(runs).items():
        settings = TrainingConfig(**config)
        train(open_dataset(data), open_examples(examples), model, output, settings)
"""


@dataclass(frozen=True)
class Case:
    """What is trained from, and what undisturbed runs gave: weights' fingerprint and dev entries,
    or a least score.
    """

    data: str
    examples: str
    model: str
    config: TrainingConfig = CONFIG
    result: tuple[str, dict[str, Any]] | None = None
    least: float = 0.0

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """A driver of it; without RAY_ADDRESS in the environment in a Ray of its own."""
        return self._start({output: self.config}, log, environment or {})

    def _start(
        self, runs: dict[str, TrainingConfig], log: Path, environment: dict[str, str]
    ) -> Job:
        """A driver that trains to each output by its config, one after another."""
        configs = json.dumps(
            {output: config.model_dump(mode="json") for output, config in runs.items()}
        )
        command = [sys.executable, "-c", _TRAIN, self.data, self.examples, self.model, configs]
        with open(log, "ab") as stream:
            return subprocess.Popen(
                command, cwd=ROOT, env=os.environ | environment, stdout=stream, stderr=stream
            )

    def evaluations(self) -> int:
        """How many checkpoints a run reports before its last step."""
        return (self.steps(self.config.most_workers) - 1) // self.config.checkpoint_steps

    def steps(self, workers: int) -> int:
        """Steps of a run that always has so many workers."""
        config = self.config.model_copy(update={"workers": workers})
        return count_steps(open_examples(self.examples).manifest.example_count, config)

    def undisturbed(self, folder: Path) -> "Case":
        """The case with what a run that nothing disturbs gives."""
        return replace(
            self, result=self._finish({str(folder / "undisturbed"): self.config}, folder)[0]
        )

    def measure_seeds(self, folder: Path) -> list[float]:
        """Dev scores of undisturbed runs with other seeds."""
        runs = {
            str(folder / f"seed-{seed}"): self.config.model_copy(update={"seed": seed})
            for seed in _SEEDS
        }
        return [dev["score"] for _, dev in self._finish(runs, folder)]

    def _finish(
        self, runs: dict[str, TrainingConfig], folder: Path
    ) -> list[tuple[str, dict[str, Any]]]:
        folder.mkdir()
        if self._start(runs, folder / "log", {}).wait(PATIENCE_S * len(runs)):
            raise SystemExit((folder / "log").read_text())
        return [read_result(output) for output in runs]

    def find_faults(self, output: str) -> list[str]:
        """What differs from the undisturbed runs."""
        weights, dev = read_result(output)
        faults = []
        if self.result is not None:
            faults += [] if weights == self.result[0] else ["weights differ"]
            faults += [] if dev == self.result[1] else [f"dev {dev} for {self.result[1]}"]
        faults += (
            []
            if dev["score"] >= self.least
            else [f"dev score {dev['score']:.3f} below {self.least:.3f}"]
        )
        return faults + (["its run's folder is left"] if storage.exists(run_folder(output)) else [])


def least_expected(scores: Sequence[float]) -> float:
    """What one more score like these is above with 97.5%: the lower end of Student's prediction
    interval.
    """
    wide = t.ppf(0.975, len(scores) - 1) * math.sqrt(1 + 1 / len(scores))
    return statistics.mean(scores) - float(wide) * statistics.stdev(scores)


def reports(output: str) -> int:
    """Checkpoints that a run has reported so far."""
    with suppress(StorageError, ValueError):
        return int(
            json.loads(storage.read_bytes(storage.join(run_folder(output), SNAPSHOT)))[
                "current_report_index"
            ]
        )
    return 0


def latest_step(output: str) -> int:
    """The step of the checkpoint that a run reported last; 0 without one."""
    with suppress(StorageError, ValueError):  # written or removed just now
        if found := latest_checkpoint(run_folder(output)):
            return found.step
    return 0


def last_step(output: str) -> int:
    """The last step of a run that has ended."""
    return max(
        int(entry["step"])
        for entry in json.loads(storage.read_bytes(storage.join(output, "history.json")))
    )


def read_result(output: str) -> tuple[str, dict[str, Any]]:
    """(fingerprint of all weights, dev entries) of a checkpoint."""
    manifest = read_manifest(output, CheckpointManifest)
    return manifest.fingerprint, manifest.dev


def make_case(folder: Path) -> Case:
    """A tiny encoder, pairs, and examples with two negatives each, drawn by number."""
    model = str(make_encoder(folder / "tiny"))
    dataset = prepare(
        SourceConfig(path=str(write_pairs(folder / "pairs.jsonl", PAIRS))),
        SplitConfig(),
        str(folder / "data"),
    )
    texts = dict(
        zip(*(dataset.corpus()[name].to_pylist() for name in ("document_id", "text")), strict=True)
    )
    ids, rows = sorted(texts), []
    for number, query in enumerate(dataset.queries("train").to_pylist()):
        for positive in sorted(dataset.qrels()[query["query_id"]]):
            negatives = [
                name
                for name in (ids[number % len(ids)], ids[-1 - number % len(ids)])
                if name != positive
            ]
            rows.append(
                {
                    "query_id": query["query_id"],
                    "query": query["text"],
                    "positive_id": positive,
                    "positive": texts[positive],
                    "negative_ids": negatives,
                    "negatives": [texts[each] for each in negatives],
                }
            )
    with NewOutput(str(folder / "examples"), fingerprint(rows)) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        output.commit(ExamplesManifest(counts={"examples": len(rows)}, negatives=2))
    return Case(dataset.uri, str(folder / "examples"), model)
