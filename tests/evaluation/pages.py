"""Pages for the report's tests: models with a known quality on made-up queries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from medembed.evaluation.compare import Difference, compare_all
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.footprint import Footprint, Footprints
from medembed.evaluation.inspection import Inspection, Truncation
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.recommend import recommend
from medembed.evaluation.report.page import Page
from medembed.evaluation.result import NO_VECTORS, Evaluation, Measured, Scored, Units

WIDTHS = (384, 256, 128, 64, 32)
CONFIG = EvaluationConfig(bootstrap_samples=200)
Floats = npt.NDArray[np.float64]
FOOTPRINTS = Footprints(
    "ndcg@10",
    300,
    16_449,
    (
        Footprint(384, "float32", 0.600, 1.0, 0.0, 0.0, 2.0),
        Footprint(384, "binary", 0.580, 0.9667, -0.03, -0.01, 0.41),
        Footprint(128, "int8", 0.595, 0.9917, -0.01, 0.0, 0.4),
        Footprint(128, "binary+int8", 0.5945, 0.9908, -0.01, 0.0, 0.3),
        Footprint(64, "int8", 0.594, 0.9899, -0.02, 0.0, 0.2),
    ),
)


def make_units(count: int, groups: int) -> Units:
    return Units(
        ids=tuple(f"query-{n:04}" for n in range(count)),
        groups=tuple(f"group-{n % groups}" for n in range(count)),
        languages=tuple("fr" if n % 3 == 0 else "en" for n in range(count)),
        tags=tuple(
            ("lay",) if n % 4 == 0 else ("clinical",) if n % 7 else ("clinical", "rare")
            for n in range(count)
        ),
    )


def make_ranking(
    name: str, quality: float, dimensions: Sequence[int], units: Units, fall: float = 0.05
) -> Evaluation:
    """An evaluation whose NDCG@10 is near `quality` at the widest dimension and falls with each
    narrower one.
    """
    noise = np.random.default_rng(sum(name.encode())).normal(0, 0.25, len(units.ids))
    # the same queries are hard for all models
    hard = np.random.default_rng(1).normal(0, 0.3, len(units.ids))
    values: dict[int, dict[str, Floats]] = {}
    cosines: dict[int, dict[str, Floats]] = {}
    for place, dimension in enumerate(dimensions):
        ndcg = np.round(np.clip(quality - fall * place + noise + hard, 0, 1), 2)
        values[dimension] = {
            "ndcg@10": ndcg,
            "recall@10": np.clip(ndcg * 1.3, 0, 1),
            "mrr@10": ndcg**2,
        }
        if dimension != NO_VECTORS:
            negative = np.where(np.arange(len(noise)) % 2, np.nan, 0.5 + noise / 2)
            cosines[dimension] = {
                "positive": quality + noise / 2,
                "negative": negative,
                "other": 0.4 + hard / 3,
            }
    return Evaluation(name, "", "", queries=Measured(units, values, {}, cosines))


def make_classes(name: str, accuracy: float, units: Units) -> Evaluation:
    chance = np.random.default_rng(2).random(len(units.ids))
    values = {d: {"knn_accuracy": (chance < accuracy - 1 / d).astype(float)} for d in WIDTHS}
    return Evaluation(name, "", "", documents=Measured(units, values, {}, {}))


def make_pairs(name: str, noise: float, units: Units) -> Evaluation:
    generator = np.random.default_rng(3)
    similarity = generator.integers(0, 6, len(units.ids)) / 5
    cosines = {d: similarity + generator.normal(0, noise, len(similarity)) for d in WIDTHS}
    return Evaluation(name, "", "", pairs=Scored(units, similarity, cosines))


def make_difference(
    before: float,
    after: float,
    alone: float = 0.02,
    sure: float = 0.03,
    at: int = 0,
    units: int = 100,
    groups: int = 50,
) -> Difference:
    """With intervals that reach `alone` and `sure` to both sides; `at` is the baseline's
    dimension.
    """
    edges = [after - before + side * reach for reach in (alone, sure) for side in (-1, 1)]
    return Difference(before, after, after - before, *edges, units, groups, at)


def make_inspection(level: float, cut: float = 0.02, count: int = 50) -> Inspection:
    """Documents of five topics whose mean cosine is near `level`."""
    generator = np.random.default_rng(4)
    vectors = (
        generator.normal(0, 1, (count, 16))
        + 2 * generator.normal(0, 1, (5, 16))[np.arange(count) % 5]
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = (level + (1 - level) * (unit @ unit.T)).astype(np.float32)
    other = similarities[~np.eye(count, dtype=np.bool_)] if count > 1 else np.zeros(1)
    ids = tuple(f"document-{n}" for n in range(count))
    return Inspection(
        ids,
        similarities,
        float(other.mean()),
        float(other.std()),
        Truncation(1000, 256, cut, cut / 3),
    )


def make_page(
    quality: float = 0.57,
    baseline: float = 0.45,
    count: int = 600,
    groups: int = 390,
    texts: Mapping[str, str] = {},
) -> Page:
    """A model, a model before it and BM25 on the same queries."""
    units = make_units(count, groups)
    model, old = (
        make_ranking(name, level, WIDTHS, units, fall)
        for name, level, fall in (
            ("clinic-minilm-v3", quality, 0.01),
            ("all-MiniLM-L6-v2", baseline, 0.05),
        )
    )
    bm25 = make_ranking("BM25", 0.38, (NO_VECTORS,), units)
    cases = {
        d: (CaseOutcome("heart attack", 0.7, 0.4), CaseOutcome("no fever", 0.5, 0.55 - d / 2000))
        for d in WIDTHS
    }
    model = replace(model, must_rank=cases)
    return Page(
        "Before and after <fine-tuning> & more",
        [model, old, bm25],
        compare_all([old, bm25], model, CONFIG),
        inspections={model.name: make_inspection(0.1), old.name: make_inspection(0.75, cut=0.3)},
        recommendation=recommend(model, CONFIG),
        footprints=FOOTPRINTS,
        facts=[
            ("data set", "workspace/data/medline-questions 3f2a9c"),
            ("encoder", "f00d <b>x</b>"),
        ],
        texts=texts,
    )


UNITS = make_units(60, 40)


def compared(model: Evaluation, baseline: Evaluation) -> Page:
    return Page("", [model, baseline], compare_all([baseline], model, CONFIG))


def ranked(name: str, quality: float = 0.5, units: Units = UNITS) -> Evaluation:
    return make_ranking(name, quality, WIDTHS, units)
