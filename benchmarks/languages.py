"""French documents and English ones, asked in French: what a multilingual model learns from them.

ICD-10's labels, half of the codes as pairs of French and French (the label as hospitals type it,
in capitals without accents, asks for the label as it is written), half as pairs of French and
English; in one corpus, so that a query must pass over documents of the nearer language. Codes of
one category stay in one split. A last training reads English pairs alone, and is measured on
French: ICD-10, and TICO-19, whose sentences nothing here trains on.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.improvement import MODEL, Scores, mean_over_seeds, measure
from benchmarks.retention import SHOWN, read, save
from benchmarks.train import in_fresh_process
from benchmarks.training_ways import Material, Ours, Rows, Stock, read_ontology
from jobs.ray_session import ray_session
from medembed.data.collection import open_collection
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.model_files import fetch_model
from medembed.evaluation.sample import Sample, draw_sample
from medembed.preflight.train_probe import TrainCost, time_steps
from medembed.schema import content_hash
from medembed.training.config import TrainingConfig
from medembed.training.run import build

CODES = 4000
TOKENS = 48
DIRECTIONS = ("fr-fr", "fr-en")
PROMPTS = {"query": "query: ", "document": "passage: "}
OURS: dict[str, Any] = {"loss": {}, "average": 0.8, "epochs": 1.5}


@dataclass(frozen=True)
class Way:
    """A training: stock classes at these settings, or ours; of which model, on which pairs."""

    changes: Mapping[str, Any]
    is_stock: bool = False
    model: str = "whole"  # or "bare": without prompts in its folder
    trains_on: str = "icd10"
    sets: tuple[str, ...] = ("icd10",)


WAYS = {
    "stock, good settings": Way({"per_device_train_batch_size": 64, "learning_rate": 1e-4}, True),
    "ours": Way(OURS, sets=("icd10", "tico")),
    "ours, no prompts": Way(OURS, model="bare"),
    "ours, the query's prompt alone": Way(
        OURS | {"prompts": {"query": PROMPTS["query"]}}, model="bare"
    ),
    "ours, words in use alone": Way(OURS | {"vocabulary": "corpus"}, sets=("icd10", "tico")),
    "ours, batches of one language": Way(OURS | {"batches": "language"}),
    "ours, English pairs alone": Way(OURS, trains_on="ontology", sets=("icd10", "tico")),
}
# by --way alone, so that a run stays below 40 minutes
FURTHER_WAYS = {
    "ours, word embeddings frozen": Way(OURS | {"freeze_words": True}, sets=("icd10", "tico")),
    "ours, temperature 0.02": Way(OURS | {"temperature": 0.02}),
}
KEPT = ("ours", "ours, words in use alone")  # whose checkpoints stay, for what a step costs
STEPS = 5


@dataclass(frozen=True)
class Cost:
    """What is timed: a training that goes on from this way's checkpoint, by this optimiser."""

    way: str
    changes: Mapping[str, Any]
    optimiser: str = "adamw_torch"


COSTS = {
    "AdamW": Cost("ours", {}),
    "AdamW, `freeze_words=true`": Cost("ours", {"freeze_words": True}),
    "Adafactor (moments of rows and columns alone)": Cost("ours", {}, "adafactor"),
    "AdamW, `vocabulary=corpus`": Cost("ours, words in use alone", {}),
}
Measured = dict[str, Scores]


def write_pairs(icd10: str, place: Path) -> None:
    """Write a pair of each of 4,000 codes as JSON lines, in the order of a hash of the code."""
    rows = [json.loads(line) for line in Path(icd10).read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: content_hash(row["code"]))
    with place.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows[:CODES]):
            to_english = number % 2
            pair = {
                "query": row["fr"] if to_english else row["fr_short"],
                "document": row["en"] if to_english else row["fr"],
                "direction": DIRECTIONS[to_english],
                "category": row["code"][:3],
            }
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")


def without_prompts(model: str, folder: Path) -> str:
    """Return a copy of a model's folder that names no prompts, as many copies do."""
    bare = folder / "bare-model"
    if not bare.exists():
        shutil.copytree(fetch_model(model), bare)
        config = bare / "config_sentence_transformers.json"
        entries = json.loads(config.read_text(encoding="utf-8"))
        entries |= {"prompts": {}, "default_prompt_name": None}
        config.write_text(json.dumps(entries, indent=2), encoding="utf-8")
    return str(bare)


def prepare_pairs(rows: Path, splits: SplitConfig, folder: Path) -> Dataset:
    """Return the data set of pairs of ICD-10's labels; codes of a category stay in one split."""
    source = {
        "path": str(rows),
        "query_language": "fr",
        "columns": {"tags": "direction", "group": "category"},
    }
    return prepare(SourceConfig.model_validate(source), splits, f"{folder}/icd10")


def read_icd10(icd10: str, folder: Path, threads: int, model: str, pairs: int) -> Material:
    rows = folder / "icd10.jsonl"
    write_pairs(icd10, rows)
    dataset = prepare_pairs(rows, SplitConfig(dev=0.05, test=0.3), folder)
    sample = draw_sample(dataset, "test", None, queries=800, documents=2000)
    # No negatives are mined, so that a small model will do.
    return Material("icd10", dataset, model, pairs, None, TOKENS, sample, folder, threads, MODEL)


def measure_all(
    sets: Mapping[str, Sample], directions: Sequence[str], model: str, threads: int
) -> Measured:
    """Return the scores of ICD-10's queries by direction, and of TICO-19's where it is asked."""
    measured: Measured = {}
    for name, sample in sets.items():
        scores = measure(sample, model, threads)
        if name == "tico":
            measured[name] = scores
            continue
        for direction in DIRECTIONS:
            mask = np.array([one == direction for one in directions])
            measured[direction] = {d: values[mask] for d, values in scores.items()}
    return measured


def train_and_measure(
    material: Material,
    sets: Mapping[str, Sample],
    directions: Sequence[str],
    name: str,
    seed: int,
    precision: str,
) -> Measured:
    """Return the scores of one way with one seed, from the folder if they are there."""
    way = (WAYS | FURTHER_WAYS)[name]
    place = material.folder / f"{_slug(name)}-{material.pairs}-{seed}.npz"
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
            output = str(Path(scratch) / "model")
            if way.is_stock:
                settings = {**way.changes, "bf16": precision == "bfloat16"}
                Stock(settings).train(material, seed, output)
            else:
                Ours({**way.changes, "precision": precision}).train(material, seed, output)
            if name in KEPT:
                shutil.copytree(output, material.folder / _slug(name), dirs_exist_ok=True)
            wanted = {one: sets[one] for one in way.sets}
            save(place, measure_all(wanted, directions, output, material.threads))
    return read(place)


def print_table(measured: Mapping[str, Measured], sets: Sequence[str]) -> None:
    print(f"\n| NDCG@10 at {' / '.join(map(str, SHOWN))} | " + " | ".join(sets) + " |")
    print("|---|" + "---|" * len(sets))
    for way, scores in measured.items():
        cells = [_cell(scores[name]) if name in scores else "" for name in sets]
        print(f"| {way} | " + " | ".join(cells) + " |")


def print_costs(material: Material) -> None:
    """Print what a step of training costs in each way, in a process of its own."""
    rows = material.mine(0).read()
    print("\n| training | checkpoint | seconds of a step | peak memory |\n|---|---|---|---|")
    for name, cost in COSTS.items():
        folder = material.folder / _slug(cost.way)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        config = Ours(OURS | cost.changes).config(material, 0)
        spent = in_fresh_process(time_steps_by, cost.optimiser, rows, str(folder), STEPS, config)
        print(
            f"| {name} | {size / 1e6:.0f} MB | {spent.seconds_per_step:.2f} | "
            f"{spent.memory_bytes / 2**30:.2f} GiB |"
        )


def time_steps_by(
    optimiser: str, rows: Rows, model: str, steps: int, config: TrainingConfig
) -> TrainCost:
    """Time steps by an optimiser that training has no key for."""
    arguments = build.training_arguments

    def with_optimiser(*args: Any) -> Any:
        return replace(arguments(*args), optim=optimiser)

    build.training_arguments = with_optimiser
    return time_steps(rows, model, steps, config)


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def _row(measured: Measured) -> str:
    return "; ".join(f"{name} {_cell(scores)}" for name, scores in measured.items())


def _cell(scores: Scores) -> str:
    return " / ".join(f"{scores[d].mean():.3f}" for d in SHOWN)


@click.command()
@click.option("--model", required=True, help="folder of multilingual-e5-small, with its prompts")
@click.option("--icd10", required=True, help="JSON lines with code, en, fr and fr_short")
@click.option("--tico", required=True, help="TICO-19 as a BEIR folder")
@click.option(
    "--way",
    multiple=True,
    type=click.Choice([*WAYS, *FURTHER_WAYS]),
    help="default: all but the last two",
)
@click.option("--costs", is_flag=True, help="time steps too, of the checkpoints in --folder")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1), show_default=True)
@click.option("--pairs", default=640, show_default=True, help="of training")
@click.option("--precision", default="float32", show_default=True, help="of all trainings")
@click.option("--threads", default=2, show_default=True, help="of a training")
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is measured stays there"
)
def main(
    model: str,
    icd10: str,
    tico: str,
    way: tuple[str, ...],
    costs: bool,
    seeds: tuple[int, ...],
    pairs: int,
    precision: str,
    threads: int,
    folder: Path,
) -> None:
    """Prints NDCG@10 of each way of training, in both directions, as a table in Markdown."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    models = {"whole": model, "bare": without_prompts(model, folder)}
    with ray_session(None):
        icd = read_icd10(icd10, folder, threads, model, pairs)
        ontology = replace(read_ontology(folder, "test", threads), model=model, pairs=pairs)
        materials = {"icd10": icd, "ontology": ontology}
        elsewhere = open_collection(tico, f"{folder}/tico")
        sets = {
            "icd10": icd.sample,
            "tico": draw_sample(elsewhere, "test", None, queries=300, documents=1000),
        }
        tag_of = {row["query_id"]: row["tags"][0] for row in icd.dataset.queries().to_pylist()}
        directions = [tag_of[name] for name, _ in icd.sample.queries]
        measured: dict[str, Measured] = {}
        for name, place in (("zero-shot", model), ("zero-shot, no prompts", models["bare"])):
            file = folder / f"{_slug(name)}.npz"
            if not file.exists():
                save(file, measure_all(sets, directions, place, threads))
            measured[name] = read(file)
            print(f"{name}: {_row(measured[name])}", flush=True)
        for name in way or tuple(WAYS):
            how = (WAYS | FURTHER_WAYS)[name]
            material = replace(materials[how.trains_on], model=models[how.model])
            runs = [
                train_and_measure(material, sets, directions, name, seed, precision)
                for seed in seeds
            ]
            measured[name] = {one: mean_over_seeds([run[one] for run in runs]) for one in runs[0]}
            print(f"{name}: {_row(measured[name])}", flush=True)
    print_table(measured, [*DIRECTIONS, "tico"])
    if costs:
        print_costs(icd)


if __name__ == "__main__":
    main()
