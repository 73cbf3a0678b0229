"""What training is worth: the same pairs by ours, by stock classes at good settings, and by the
published recipe.

Two data sets, the packaged MiniLM model, queries of the test split against a fixed sample of
documents:
- ontology: the Human Phenotype Ontology, lay queries, 8,000 pairs, 48 tokens;
- medquad: JSON lines of question and answer (--medquad), 1,500 pairs, 128 tokens.

Each way trains for one pass with each seed, and its last weights are measured: nothing is chosen by
a test score. What is measured stays in --folder, so that a run that was ended goes on.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.improvement import (
    DIMENSIONS,
    Scores,
    mean_over_seeds,
    means,
    measure,
    print_table,
    spread_of_seeds,
)
from benchmarks.training_ways import (
    Material,
    Ours,
    Stock,
    one_for_each_document,
    read_medquad,
    read_ontology,
    told_apart,
)
from jobs.ray_session import ray_session
from medembed.schema import fingerprint

WAYS: dict[str, Stock | Ours] = {
    "published recipe": Stock(
        {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 16,
            "learning_rate": 2e-5,
            "lr_scheduler_type": "cosine",
        }
    ),
    "stock, good settings": Stock({"per_device_train_batch_size": 64, "learning_rate": 1e-4}),
    "ours": Ours(),
}
ABLATIONS: dict[str, Ours] = {
    "without principal axes": Ours({"principal_axes": False}),
    "with a mined negative": Ours(negatives=1),
    "batch 128, rate 3e-4": Ours({"batch_size": 128, "learning_rate": 3e-4}),
    "rate 1e-4": Ours({"learning_rate": 1e-4}),
    "64 and 32 dimensions weigh double": Ours({"weights": (1, 1, 1, 2, 2)}),
    "both directions": Ours({"loss": {"symmetric": True, "hold": 0.0}}),
    "duplicates not masked": Ours(rewrite=told_apart),
    "one pair for each document": Ours(rewrite=one_for_each_document),
}


def train_once(material: Material, name: str, way: Stock | Ours, seed: int, split: str) -> Scores:
    """The scores of one training, from the folder if they are there, made with the same
    settings.
    """
    key = fingerprint(
        [
            way.key(),
            material.pairs,
            material.tokens,
            sorted(name for name, _ in material.sample.queries),
        ]
    )
    place = material.folder / f"{material.name}-{split}-{name.replace(' ', '-')}-{seed}-{key}.npz"
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
            model = way.train(material, seed, f"{scratch}/model")
            scores = measure(material.sample, model)
        np.savez(place, **{str(dimension): values for dimension, values in scores.items()})
    with np.load(place) as saved:
        return {dimension: saved[str(dimension)] for dimension in DIMENSIONS}


@click.command()
@click.option(
    "--data", type=click.Choice(["ontology", "medquad"]), multiple=True, default=["ontology"]
)
@click.option("--medquad", help="MedQuAD's JSON lines, e.g. medquad/*.jsonl")
@click.option("--seeds", default=3, show_default=True)
@click.option(
    "--ablations",
    default=0,
    show_default=True,
    help="seeds of ours with one thing changed at a time",
)
@click.option("--split", default="test", show_default=True, help="dev for choosing settings")
@click.option("--way", multiple=True, help="only these, by name; default: all")
@click.option("--pairs", default=None, type=int, help="of training; default: 8,000 and 1,500")
@click.option("--threads", default=2, show_default=True, help="of a training")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="what is measured stays there; default: none of it",
)
def main(
    data: tuple[str, ...],
    medquad: str | None,
    seeds: int,
    ablations: int,
    split: str,
    way: tuple[str, ...],
    pairs: int | None,
    threads: int,
    folder: Path | None,
) -> None:
    """Prints a table in Markdown for each data set: NDCG@10, what ours adds with intervals, what 64
    dimensions keep.
    """
    logging.disable(logging.INFO)
    readers: dict[str, Callable[[Path], Material]] = {
        "ontology": lambda place: read_ontology(place, split, threads),
        "medquad": lambda place: read_medquad(place, split, threads, str(medquad)),
    }
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch, ray_session(None):
        place = (folder or Path(scratch)).absolute()
        place.mkdir(parents=True, exist_ok=True)
        for name in data:
            material = readers[name](place)
            material = replace(material, pairs=pairs or material.pairs)
            for ways, count in ((WAYS, seeds), ({"ours": WAYS["ours"], **ABLATIONS}, ablations)):
                chosen = {name: one for name, one in ways.items() if not way or name in way}
                if chosen and count:
                    compare_ways(material, chosen, count, split)


def compare_ways(
    material: Material, ways: Mapping[str, Stock | Ours], seeds: int, split: str
) -> None:
    sample = material.sample
    print(
        f"{material.name}: {material.pairs:,} pairs, {len(sample.queries):,} {split} queries, "
        f"{len(sample.documents):,} documents",
        flush=True,
    )
    found = {"base model": measure(sample, material.model)}
    for name, way in ways.items():
        runs = [train_once(material, name, way, seed, split) for seed in range(seeds)]
        found[name] = mean_over_seeds(runs)
        print(
            f"{name}: {means(found[name])}; seeds apart by {spread_of_seeds(runs):.3f} at most",
            flush=True,
        )
    print_table(found, sample.groups)
    print("\nNDCG@10 that 64 of 384 dimensions keep:")
    for name, scores in found.items():
        print(f"{name}: {scores[64].mean() / scores[384].mean():.1%}")


if __name__ == "__main__":
    main()
