"""Students beside their teachers: what share of NDCG@10 they keep, how small and fast they are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.languages import read_icd10
from benchmarks.training_ways import Ours, read_ontology
from medembed.data.dataset import Dataset
from medembed.distillation.config import DistillConfig
from medembed.distillation.distill import distill
from medembed.distillation.screen import summarize_distilled
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


@dataclass(frozen=True)
class Sources:
    """What the user gives: a multilingual model, ICD-10 as JSON lines, and threads."""

    model: str | None
    icd10: str | None
    threads: int


@dataclass(frozen=True)
class Teaching:
    """A teacher and the data set that its student learns and is measured on."""

    teacher: str
    dataset: Dataset


def tuned_minilm(folder: Path, sources: Sources) -> Teaching:
    """Fine-tune MiniLM on the ontology's pairs, or find it again."""
    material = read_ontology(folder, "test", sources.threads)
    place = str(folder / "tuned-minilm")
    return Teaching(Ours(negatives=1).train(material, 0, place), material.dataset)


def multilingual_e5(folder: Path, sources: Sources) -> Teaching:
    """Take the model as it is, on ICD-10 in French and English."""
    if sources.model is None or sources.icd10 is None:
        raise SystemExit("the part students needs --model and --icd10")
    material = read_icd10(sources.icd10, folder, sources.threads, sources.model, 1)
    return Teaching(sources.model, material.dataset)


@dataclass(frozen=True)
class Case:
    """A student: of what teacher, its config, and what it is to keep."""

    teach: Callable[[Path, Sources], Teaching]
    student: str
    training: Mapping[str, Any]


CASES = {
    "MiniLM on the ontology, 3 of 6 layers": Case(tuned_minilm, "layers:3", {"epochs": 1}),
    # few texts, and a table of words that takes most of an optimiser's time
    "multilingual-e5-small on ICD-10, 6 of 12 layers": Case(
        multilingual_e5, "layers:6", {"epochs": 4, "freeze_words": True}
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
