"""What is gained in domain, and what is lost elsewhere: ours beside stock classes, held and
averaged or not.

Trained on one data set, every model is ranked on its test queries and on sets that no model here
was trained on:
- ontology: trained on the Human Phenotype Ontology; elsewhere MedQuAD's test questions and TICO-19
  (French -> English);
- medquad: trained on MedQuAD; elsewhere the ontology's lay test queries and TICO-19.

The references are the base model and the base model turned to the principal axes of the training
documents, whose prefixes rank better before anything is learned. What is measured stays in
--folder, so that a run goes on.
"""

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.improvement import Scores, mean_over_seeds, measure
from benchmarks.retention_plot import Front, draw_front
from benchmarks.training_ways import Material, Ours, Stock, read_medquad, read_ontology
from jobs.ray_session import ray_session
from medembed.data.collection import open_collection
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model
from medembed.evaluation.sample import Sample, draw_sample
from medembed.schema import fingerprint
from medembed.training.model.average import average_folder
from medembed.training.model.principal_axes import draw_documents, principal_axes, turn

SHOWN = (384, 128, 64)
BASE, TURNED = "base model", "base model, turned"


class Way(NamedTuple):
    """A training, and the weight of what was trained in the average with its start."""

    training: str
    share: float


STOCK = "stock"
STOCK_SETTINGS = {"per_device_train_batch_size": 64, "learning_rate": 1e-4}
TRAININGS: dict[str, dict[str, Any]] = {
    "held": {"loss": {"symmetric": True, "hold": 1.25}, "epochs": 1.5},
    "held, one pass": {"loss": {"symmetric": True, "hold": 1.25}},
    "held, one direction": {"loss": {"symmetric": False, "hold": 1.25}, "epochs": 1.5},
    "plain": {"loss": {"symmetric": True, "hold": 0.0}},
    "plain, one direction": {"loss": {"symmetric": False, "hold": 0.0}},
}
WAYS = {
    "ours": Way("held", 0.8),
    "ours, no average": Way("held", 1.0),
    "ours, not held": Way("plain", 0.5),
    "ours, one pass": Way("held, one pass", 0.8),
    "ours, one pass, no average": Way("held, one pass", 1.0),
    "ours, one direction": Way("held, one direction", 0.8),
    "ours, not held, one direction": Way("plain, one direction", 0.5),
    "ours, neither": Way("plain, one direction", 1.0),
    "stock, good settings": Way(STOCK, 1.0),
    "stock, averaged": Way(STOCK, 0.5),
}
Measured = dict[str, Scores]  # {set: NDCG@10 of each query at each dimension}


def turned_base(material: Material, folder: Path, seed: int) -> str:
    """The base model turned to the axes that a training on this material starts from, with this
    seed.
    """
    place = folder / f"{material.name}-turned-{seed}"
    if not place.exists():
        model = load_model(fetch_model(material.model), EncodingConfig(), "cpu")
        vectors = Encoder(model, EncodingConfig()).encode(
            draw_documents(material.dataset, seed), "document"
        )
        turn(model, principal_axes(vectors)[0])
        model.save_pretrained(str(place), create_model_card=False)
    return str(place)


def train_and_measure(
    material: Material, sets: Mapping[str, Sample], name: str, seed: int, precision: str
) -> Measured:
    """The scores of one way with one seed on all sets, from the folder if they are there."""
    way = WAYS[name]
    queries = {one: sample.queries for one, sample in sets.items()}
    key = fingerprint([way, TRAININGS.get(way.training), precision, material.pairs, queries])
    place = material.folder / f"{material.name}-{name.replace(' ', '-')}-{seed}-{key[:12]}.npz"
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
            model = Path(scratch) / "model"
            shutil.copytree(_train(material, way.training, seed, precision), model)
            if way.share < 1:
                turned = turned_base(material, material.folder, seed)
                start = fetch_model(material.model if way.training == STOCK else turned)
                average_folder(start, model, way.share, EncodingConfig())
            save(place, measure_all(sets, str(model), material.threads))
    return read(place)


def _train(material: Material, training: str, seed: int, precision: str) -> str:
    """The trained model without an average, from the folder if it is there."""
    kept = material.folder / f"{material.name}-{training.replace(' ', '-')}-{material.pairs}-{seed}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
            output = str(Path(scratch) / "model")
            if training == STOCK:
                Stock({**STOCK_SETTINGS, "bf16": precision == "bfloat16"}).train(
                    material, seed, output
                )
            else:
                Ours({**TRAININGS[training], "precision": precision}).train(material, seed, output)
            shutil.move(output, kept)
    return str(kept)


def measure_all(sets: Mapping[str, Sample], model: str, threads: int) -> Measured:
    return {name: measure(sample, model, threads) for name, sample in sets.items()}


def save(place: Path, measured: Measured) -> None:
    rows = {
        f"{name}|{d}": values for name, scores in measured.items() for d, values in scores.items()
    }
    np.savez(place, allow_pickle=False, **rows)


def read(place: Path) -> Measured:
    measured: Measured = {}
    with np.load(place) as saved:
        for key in saved.files:
            name, _, dimension = key.rpartition("|")
            measured.setdefault(name, {})[int(dimension)] = saved[key]
    return measured


def print_table(measured: Mapping[str, Measured]) -> None:
    """NDCG@10 of each way on each set at 384 / 128 / 64 dimensions, then what it is above the
    turned base model.
    """
    sets = list(next(iter(measured.values())))
    print("\n| way | " + " | ".join(sets) + " |\n|---|" + "---|" * len(sets))
    for way, scores in measured.items():
        print(f"| {way} | " + " | ".join(_cell(scores[name]) for name in sets) + " |")
    print(
        "\n| way, less the turned base model | "
        + " | ".join(sets)
        + " |\n|---|"
        + "---|" * len(sets)
    )
    for way, scores in measured.items():
        if way not in (BASE, TURNED):
            cells = [_difference(scores[name], measured[TURNED][name]) for name in sets]
            print(f"| {way} | " + " | ".join(cells) + " |")


def _cell(scores: Scores) -> str:
    return " / ".join(f"{scores[d].mean():.3f}" for d in SHOWN)


def _difference(scores: Scores, start: Scores) -> str:
    return " / ".join(f"{scores[d].mean() - start[d].mean():+.3f}" for d in SHOWN)


def fronts(measured: Mapping[str, Measured]) -> list[Front]:
    """What each way gains in domain and loses elsewhere, at full width and at 64 dimensions."""
    own, *others = next(iter(measured.values()))
    base = measured[TURNED]
    rows: list[Front] = []
    for way, scores in measured.items():
        if way == BASE:
            continue
        for dimension in (384, 64):
            gained = scores[own][dimension].mean() - base[own][dimension].mean()
            kept = [
                scores[name][dimension].mean() - base[name][dimension].mean() for name in others
            ]
            rows.append(Front(way, dimension, float(gained), float(np.mean(kept))))
    return rows


def read_sets(
    material: Material, others: Mapping[str, Dataset], queries: int, documents: int
) -> dict[str, Sample]:
    """A sample of the test queries of the training's data set, first, and of each other set."""
    sizes = {"queries": queries, "documents": documents}
    own = draw_sample(material.dataset, "test", material.tag, **sizes)
    sets = {material.name: own}
    for name, dataset in others.items():
        tag = "lay" if name == "ontology" else None
        sets[name] = draw_sample(dataset, "test", tag, **sizes)
    return sets


@click.command()
@click.option(
    "--data", type=click.Choice(["ontology", "medquad"]), default="ontology", show_default=True
)
@click.option("--medquad", required=True, help="MedQuAD's JSON lines, e.g. medquad/*.jsonl")
@click.option("--tico", required=True, help="TICO-19 as a BEIR folder")
@click.option("--way", multiple=True, help="only these, by name; default: all")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True)
@click.option("--pairs", default=None, type=int, help="of training; default: 4,800 and 1,500")
@click.option("--queries", default=500, show_default=True, help="of each set")
@click.option(
    "--documents", default=1500, show_default=True, help="of each set, their positives included"
)
@click.option(
    "--precision", default="float32", show_default=True, help="of training, of all ways alike"
)
@click.option("--threads", default=2, show_default=True, help="of a training")
@click.option("--plot", type=click.Path(path_type=Path), help="PNG of what is gained and lost")
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is measured stays there"
)
def main(
    data: str,
    medquad: str,
    tico: str,
    way: tuple[str, ...],
    seeds: tuple[int, ...],
    pairs: int | None,
    queries: int,
    documents: int,
    precision: str,
    threads: int,
    plot: Path | None,
    folder: Path,
) -> None:
    """Prints NDCG@10 in domain and elsewhere of each way of training, as tables in Markdown."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ways: Sequence[str] = way or tuple(WAYS)
    with ray_session(None):
        ontology, questions = (
            read_ontology(folder, "test", threads),
            read_medquad(folder, "test", threads, medquad),
        )
        material, other = (ontology, questions) if data == "ontology" else (questions, ontology)
        material = replace(material, pairs=pairs or (4800 if data == "ontology" else 1500))
        elsewhere = {other.name: other.dataset, "tico": open_collection(tico, f"{folder}/tico")}
        sets = read_sets(material, elsewhere, queries, documents)
        measured: dict[str, Measured] = {}
        for name, model in ((BASE, material.model), (TURNED, turned_base(material, folder, 0))):
            place = folder / f"{data}-{name.replace(' ', '-')}-{queries}.npz"
            measured[name] = measure_once(place, sets, model, threads)
        for name in ways:
            runs = [train_and_measure(material, sets, name, seed, precision) for seed in seeds]
            measured[name] = {one: mean_over_seeds([run[one] for run in runs]) for one in sets}
            print(
                f"{name}: " + "; ".join(f"{one} {_cell(measured[name][one])}" for one in sets),
                flush=True,
            )
    print_table(measured)
    if plot is not None:
        plot.write_bytes(draw_front(fronts(measured)))


def measure_once(place: Path, sets: Mapping[str, Sample], model: str, threads: int) -> Measured:
    if not place.exists():
        save(place, measure_all(sets, model, threads))
    return read(place)


if __name__ == "__main__":
    main()
