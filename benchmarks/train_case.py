"""What the fault benchmark of training trains: a tiny encoder on examples drawn by number, and what
must come out.
"""

import json
import logging
import math
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from scipy.stats import t

from benchmarks.fault_injection import Job
from benchmarks.fault_run import run_undisturbed, start
from jobs.ray_session import ray_session
from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import open_dataset, to_table
from medembed.data.prepare import prepare
from medembed.errors import StorageError
from medembed.lineage import CheckpointManifest, ExamplesManifest
from medembed.mining.examples import open_examples
from medembed.schema import EXAMPLES, fingerprint
from medembed.training import train
from medembed.training.config import TrainingConfig
from medembed.training.run import fit
from medembed.training.run.build import count_steps
from medembed.training.run.private_ray_train import SNAPSHOT, latest_checkpoint
from medembed.training.run.run_folder import run_folder
from tests.tiny import make_encoder, write_pairs

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
_SEEDS = (1, 2, 3, 4, 5)


def train_all() -> None:
    """Train to each output by its config, one after another, as the command line says; look for
    more nodes every few seconds rather than once a minute.
    """
    data, examples, model, runs = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    with patch.object(fit, "LOOKS_FOR_NODES_S", 5), ray_session(os.environ.get("RAY_ADDRESS")):
        for output, config in json.loads(runs).items():
            settings = TrainingConfig(**config)
            train.train(open_dataset(data), open_examples(examples), model, output, settings)


class Result(NamedTuple):
    """The fingerprint of all weights, and the dev entries, of a checkpoint."""

    weights: str
    dev: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What is trained from, and what undisturbed runs gave: their result, or a least score."""

    data: str
    examples: str
    model: str
    config: TrainingConfig = CONFIG
    result: Result | None = None
    least: float = 0.0

    def start(self, output: str, log: Path, environment: dict[str, str] | None = None) -> Job:
        """Start a driver of it."""
        return self._start({output: self.config}, log, environment or {})

    def _start(
        self, runs: dict[str, TrainingConfig], log: Path, environment: dict[str, str]
    ) -> Job:
        """Start a driver that trains to each output by its config, one after another."""
        configs = {output: config.model_dump(mode="json") for output, config in runs.items()}
        script = "from benchmarks.train_case import train_all; train_all()"
        arguments = [self.data, self.examples, self.model, json.dumps(configs)]
        return start(["-c", script, *arguments], log, environment)

    def evaluations(self) -> int:
        """Return how many checkpoints a run reports before its last step."""
        return (self.steps(self.config.most_workers) - 1) // self.config.checkpoint_steps

    def steps(self, workers: int) -> int:
        """Return the steps of a run that always has so many workers."""
        config = self.config.model_copy(update={"workers": workers})
        return count_steps(open_examples(self.examples).manifest.example_count, config)

    def undisturbed(self, folder: Path) -> "Case":
        """Return the case with what a run that nothing disturbs gives."""
        results = self._finish({str(folder / "undisturbed"): self.config}, folder)
        return replace(self, result=results[0])

    def measure_seeds(self, folder: Path) -> list[float]:
        """Return the dev scores of undisturbed runs with other seeds."""
        runs = {}
        for seed in _SEEDS:
            runs[str(folder / f"seed-{seed}")] = self.config.model_copy(update={"seed": seed})
        return [result.dev["score"] for result in self._finish(runs, folder)]

    def _finish(self, runs: dict[str, TrainingConfig], folder: Path) -> list["Result"]:
        folder.mkdir()
        log = folder / "log"
        run_undisturbed(self._start(runs, log, {}), log)
        return [read_result(output) for output in runs]

    def find_faults(self, output: str) -> list[str]:
        """Return what differs from the undisturbed runs."""
        result = read_result(output)
        faults = []
        if self.result is not None and result.weights != self.result.weights:
            faults.append("weights differ")
        if self.result is not None and result.dev != self.result.dev:
            faults.append(f"dev {result.dev} for {self.result.dev}")
        if result.dev["score"] < self.least:
            faults.append(f"dev score {result.dev['score']:.3f} below {self.least:.3f}")
        if storage.exists(run_folder(output)):
            faults.append("its run's folder is left")
        return faults


def least_expected(scores: Sequence[float]) -> float:
    """Return the lower end of Student's 95% prediction interval for one more such score."""
    wide = t.ppf(0.975, len(scores) - 1) * math.sqrt(1 + 1 / len(scores))
    return statistics.mean(scores) - float(wide) * statistics.stdev(scores)


def reports(output: str) -> int:
    """Return the number of checkpoints that a run has reported so far."""
    with suppress(StorageError, ValueError):
        snapshot = json.loads(storage.read_bytes(storage.join(run_folder(output), SNAPSHOT)))
        return int(snapshot["current_report_index"])
    return 0


def latest_step(output: str) -> int:
    """Return the step of the checkpoint that a run reported last; 0 without one."""
    with suppress(StorageError, ValueError):  # written or removed just now
        if checkpoint := latest_checkpoint(run_folder(output)):
            return checkpoint.step
    return 0


def last_step(output: str) -> int:
    """Return the last step of a run that has ended."""
    history = json.loads(storage.read_bytes(storage.join(output, "history.json")))
    return max(int(entry["step"]) for entry in history)


def read_result(output: str) -> Result:
    """Return what training gave."""
    manifest = read_manifest(output, CheckpointManifest)
    return Result(manifest.fingerprint, manifest.dev)


def make_case(folder: Path) -> Case:
    """Make a tiny encoder, pairs, and examples with two negatives each, drawn by number."""
    model = str(make_encoder(folder / "tiny"))
    source = SourceConfig(path=str(write_pairs(folder / "pairs.jsonl", PAIRS)))
    dataset = prepare(source, SplitConfig(), str(folder / "data"))
    corpus = dataset.corpus()
    texts = dict(zip(corpus["document_id"].to_pylist(), corpus["text"].to_pylist(), strict=True))
    ids = sorted(texts)
    rows = []
    for number, query in enumerate(dataset.queries("train").to_pylist()):
        drawn = (ids[number % len(ids)], ids[-1 - number % len(ids)])
        for positive in sorted(dataset.qrels()[query["query_id"]]):
            negatives = [name for name in drawn if name != positive]
            rows.append(
                {
                    "query_id": query["query_id"],
                    "query": query["text"],
                    "positive_id": positive,
                    "positive": texts[positive],
                    "negative_ids": negatives,
                    "negatives": [texts[name] for name in negatives],
                }
            )
    with NewOutput(str(folder / "examples"), fingerprint(rows)) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        output.commit(ExamplesManifest(counts={"examples": len(rows)}, negatives=2))
    return Case(dataset.uri, str(folder / "examples"), model)
