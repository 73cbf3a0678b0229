"""Students beside their teachers: what share of NDCG@10 they keep, how small and fast they are.

A tuned MiniLM on the ontology; multilingual-e5-small as it is on all labels of ICD-10, where the
short French label asks for the long one and the long one for the English one, in one corpus. Codes
of one category stay in one split, and a student learns no text of the test split.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.languages import DIRECTIONS, prepare_pairs
from benchmarks.training_ways import Ours, read_ontology
from jobs.ray_session import ray_session
from medembed.data.config import SplitConfig
from medembed.data.dataset import Dataset
from medembed.distillation.config import DistillConfig
from medembed.distillation.distill import distill
from medembed.distillation.screen import summarize_distilled
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry

CHAMPION = "tuned-minilm"
PAIRS = 3000  # that it learns


@dataclass(frozen=True)
class Sources:
    """What the user gives: a multilingual model, ICD-10 as JSON lines, and threads."""

    model: str
    icd10: str
    threads: int


@dataclass(frozen=True)
class Teaching:
    """A teacher and the data set that its student learns and is measured on."""

    teacher: str
    dataset: Dataset


def tuned_minilm(folder: Path, sources: Sources) -> Teaching:
    """Fine-tune MiniLM on pairs of the ontology, or find it again."""
    material = replace(read_ontology(folder, "test", sources.threads), pairs=PAIRS)
    place = str(folder / CHAMPION)
    return Teaching(
        Ours({"precision": "bfloat16"}, negatives=1).train(material, 0, place), material.dataset
    )


def multilingual_e5(folder: Path, sources: Sources) -> Teaching:
    """Take the model as it is, on ICD-10 in French and English."""
    rows = folder / "icd10.jsonl"
    with open(sources.icd10, encoding="utf-8") as codes, rows.open("w", encoding="utf-8") as pairs:
        for line in codes:
            for pair in _pairs(json.loads(line)):
                pairs.write(json.dumps(pair, ensure_ascii=False) + "\n")
    return Teaching(sources.model, prepare_pairs(rows, SplitConfig(dev=0.02, test=0.1), folder))


def _pairs(row: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a code's pair of French and French, and its pair of French and English."""
    pairs = []
    for direction, query, document in zip(
        DIRECTIONS, ("fr_short", "fr"), ("fr", "en"), strict=True
    ):
        pairs.append(
            {
                "query": row[query],
                "document": row[document],
                "direction": direction,
                "category": row["code"][:3],
            }
        )
    return pairs


@dataclass(frozen=True)
class Case:
    """A student: of what teacher, its config, and what it is to keep."""

    teach: Callable[[Path, Sources], Teaching]
    student: str
    training: Mapping[str, Any]


CASES = {
    "MiniLM on the ontology, 3 of 6 layers": Case(tuned_minilm, "layers:3", {}),
    # few texts, and a table of words that takes most of an optimiser's time
    "multilingual-e5-small on ICD-10, 6 of 12 layers": Case(
        multilingual_e5,
        "layers:6",
        {"freeze_words": True, "precision": "bfloat16", "checkpoint_steps": 800},
    ),
}


def measure_students(folder: Path, sources: Sources) -> None:
    """Print a table in Markdown; each student's numbers stay in the folder."""
    rows: list[str] = []
    for name, case in CASES.items():
        place = folder / f"student-{len(rows)}.json"
        if not place.exists():
            place.write_text(json.dumps(_distill(folder, case, sources)), encoding="utf-8")
        summary = json.loads(place.read_text(encoding="utf-8"))
        rows.append(_row(name, summary))
        print(rows[-1], flush=True)
    print(
        "\n| student | NDCG@10 kept, by dimension | MB | texts/s | one text, ms | seconds |\n"
        "|---|---|---|---|---|---|"
    )
    print("\n".join(rows))


def _distill(folder: Path, case: Case, sources: Sources) -> dict[str, Any]:
    teaching = case.teach(folder, sources)
    workspace = RegistryConfig(workspace=str(folder / "workspace"))
    config = DistillConfig.model_validate(
        {
            "teacher": teaching.teacher,
            "student": case.student,
            "data": teaching.dataset.uri,
            "output": str(folder / "students"),
            "keep": 0,
            "training": {"cpus_per_worker": sources.threads, **case.training},
            "encoding": {"workers": sources.threads},
            "registry": workspace,
        }
    )
    return summarize_distilled(distill(config, open_registry(workspace, on_cluster=False)))


def _row(name: str, summary: Mapping[str, Any]) -> str:
    student = summary["student"]
    teacher = summary["teacher"]
    kept = ", ".join(f"{d}: {share:.1%}" for d, share in summary["kept"].items())
    cells = [name, kept]
    for key, form in (("megabytes", ".0f"), ("texts_per_s", ",.0f"), ("ms_of_one", ".1f")):
        cells.append(f"{student[key]:{form}} of {teacher[key]:{form}}")
    cells.append(f"{sum(summary['seconds'].values()):.0f}")
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--model", required=True, help="folder of multilingual-e5-small, with its prompts")
@click.option("--icd10", required=True, help="JSON lines with code, en, fr and fr_short")
@click.option("--threads", default=2, show_default=True, help="of a training")
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is measured stays there"
)
def main(model: str, icd10: str, threads: int, folder: Path) -> None:
    """Prints a table in Markdown."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ray_session(None):
        measure_students(folder, Sources(model, icd10, threads))


if __name__ == "__main__":
    main()
