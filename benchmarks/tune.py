"""A search of settings on the ontology: its time, what the winner is worth on test, what halving
saves.

`medembed tune` with 12 trials of 2,400 pairs, MiniLM, two trials at a time of a core each, in
bfloat16 where the processor has it. Then the winner and the default configuration are trained anew
with seeds that the search did not use, and ranked on the test split. With --curves every trial is
trained to its end, and halving is replayed on the recorded curves in many orders.
"""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.improvement import MODEL, mean_over_seeds, measure
from benchmarks.train_worth import ONTOLOGY
from jobs.session import ray_session
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.evaluation.compare import compare
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.training.model.precision import find_device
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.train import train
from medembed.tuning.config import TuneConfig
from medembed.tuning.records import Record
from medembed.tuning.space import Point, default_point
from medembed.tuning.trial import Shared
from medembed.tuning.tune import tune

SEARCH: dict[str, Any] = {
    "training.learning_rate": {"log_uniform": [2e-5, 1e-3]},
    "training.temperature": {"log_uniform": [0.02, 0.2]},
    "training.weights": {"simplex": [0.05]},
    "training.batch_size": {"choice": [32, 64, 128]},
    "mining.negatives": {"integer": [0, 3]},
    "mining.margin": {"uniform": [0, 0.2]},
}
# left out of recorded curves
OPTIONS: dict[str, Any] = {"training.loss.symmetric": {"choice": [False, True]}}
TRAINING: dict[str, Any] = {
    "dimensions": (384, 256, 128, 64, 32),
    "batch_size": 64,
    "learning_rate": 1e-4,
    "max_length": 48,
    "cpus_per_worker": 1,
    "dev_tag": "lay",
    "dev_queries": 300,
    "dev_documents": 2000,
    "precision": "bfloat16" if "bfloat16" in find_device(use_gpu=False).native else "float32",
}
OBJECTIVE = {384: 1.0, 64: 1.0}


@click.command()
@click.option("--trials", default=12, show_default=True)
@click.option(
    "--seeds",
    default="1,2",
    show_default=True,
    help="of the trainings compared on test; 0 is the search's",
)
@click.option("--curves", is_flag=True, help="train every trial to its end, and replay halving")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="where the search stays, and goes on; default: nowhere",
)
def main(trials: int, seeds: str, curves: bool, folder: Path | None) -> None:
    """Prints the time, the winner against the default with a 95% interval, and what halving
    saves.
    """
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch, ray_session(None):
        logging.getLogger("medembed").setLevel(logging.INFO)
        root = folder or Path(scratch)
        dataset = prepare(SourceConfig.model_validate(ONTOLOGY), SplitConfig(), f"{root}/ontology")
        config = TuneConfig.model_validate(
            {
                "model": MODEL,
                "data": dataset.uri,
                "output": f"{root}/{'curves' if curves else 'search'}",
                "training": TRAINING,
                "mining": {"prefer_tag": "lay"},
                "encoding": {"workers": 2},
                "search": SEARCH if curves else SEARCH | OPTIONS,
                "trials": trials,
                "objective": OBJECTIVE,
                "registry": RegistryConfig(workspace=str(root)),
                "halving": None if curves else 2,
            }
        )
        registry, begun = open_registry(config.registry, on_cluster=False), time.monotonic()
        found = tune(config, dataset, MODEL, registry, spare_cpus=2)
        minutes = (time.monotonic() - begun) / 60
        seen = sum(record.examples for record in found.records)
        best, default = found.best, found.records[0]
        print(
            f"{trials} trials in {minutes:.1f} min, {seen:,} of {trials * config.examples:,} "
            "examples"
        )
        print(
            f"dev score of the default {default.score:.4f}, of the winner, trial "
            f"{best.number}, {best.score:.4f}"
        )
        if curves:
            _print_halving(config.model_copy(update={"halving": 2}), found.records)
        points = {"default": default_point(config.axes()), "winner": found.best.point}
        _print_worth(
            config, dataset, points, [int(seed) for seed in seeds.split(",") if seed], root
        )


def _print_halving(config: TuneConfig, records: Any, orders: int = 200) -> None:
    """Halving on the recorded curves in many orders: what it would have seen, and how good its
    winner is.
    """
    # it imports Ray, whose switches the session sets
    from medembed.tuning.search import make_scheduler, replay

    complete, generator = (
        [record for record in records if record.state == "complete"],
        np.random.default_rng(0),
    )
    whole, best = (
        sum(record.examples for record in complete),
        max(record.score for record in complete),
    )
    shares, losses = [], []
    for _ in range(orders):
        scheduler = make_scheduler(config)
        ends = {
            record.number: replay(scheduler, record) for record in _shuffled(complete, generator)
        }
        kept = [record.score for record in complete if ends[record.number] == record.examples]
        shares.append(sum(ends.values()) / whole)
        losses.append(best - max(kept))
    print(
        f"halving, {orders} orders of {len(complete)} recorded curves: {np.median(shares):.0%} of "
        f"the examples (5% to 95%: {np.quantile(shares, 0.05):.0%} to "
        f"{np.quantile(shares, 0.95):.0%}); its winner's dev score lies {np.mean(losses):.4f} "
        f"below the best in the mean, and is the best in {np.mean(np.array(losses) == 0):.0%}"
    )


def _shuffled(records: list[Record], generator: np.random.Generator) -> list[Record]:
    return [records[place] for place in generator.permutation(len(records))]


def _print_worth(
    config: TuneConfig, dataset: Dataset, points: dict[str, Point], seeds: list[int], root: Path
) -> None:
    """The objective on the test split, of both configurations trained with each seed, and the
    difference.
    """
    sample = draw_dev_sample(
        dataset,
        config.training.model_copy(update={"dev_queries": 1000, "dev_documents": 4000}),
        "test",
    )
    (pool,) = (Path(config.output) / "pool").iterdir()
    shared = Shared(config, config.output, config.model, dataset.uri, str(pool))
    found, on_dev = {}, dict[str, list[float]]()
    for name, point in points.items():
        scores, on_dev[name] = [], []
        for seed in seeds:
            training, examples = shared.settle(point)
            training = training.model_copy(
                update={"seed": seed, "cpus_per_worker": 2, "checkpoint_steps": 1000}
            )
            checkpoint = train(dataset, examples, config.model, f"{root}/worth/{{key}}", training)
            scores.append(measure(sample, checkpoint.uri))
            dev = checkpoint.manifest.dev
            on_dev[name].append(
                float(np.mean([dev[f"{training.select_by}/{one}"] for one in OBJECTIVE]))
            )
        found[name] = mean_over_seeds(scores)
    if not seeds:
        return
    objective = {
        name: np.mean([scores[one] for one in OBJECTIVE], axis=0) for name, scores in found.items()
    }
    default, winner = objective["default"], objective["winner"]
    gain = compare(default, winner, sample.groups, samples=2000, seed=0)
    by_dimension = "; ".join(
        f"{one}: {found['default'][one].mean():.3f} -> {found['winner'][one].mean():.3f}"
        for one in found["default"]
    )
    print(
        f"test, {len(sample.queries)} queries, seeds {seeds}: objective of the default "
        f"{default.mean():.4f}, of the winner {winner.mean():.4f}, difference {gain.mean:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}]"
    )
    print(f"NDCG@10 {by_dimension}")
    print(f"dev scores with each of these seeds: {on_dev}")


if __name__ == "__main__":
    main()
