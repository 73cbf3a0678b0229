"""Measure a student beside its teacher: on judged queries, as `medembed evaluate` does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from medembed import storage
from medembed.data.dataset import Dataset
from medembed.distillation.quality import Quality
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.metrics import principal_metrics
from medembed.evaluation.result import Evaluation, baseline_dimensions
from medembed.evaluation.side_by_side import Contender
from medembed.language import to_translate

STUDENT = to_translate("student")
TEACHER = to_translate("teacher")


class Measured(NamedTuple):
    """The student's quality; if queries are judged, student and teacher with their evaluations."""

    quality: Quality
    contenders: Sequence[Contender] = ()


def has_judgments(dataset: Dataset, split: str | None, tag: str | None) -> bool:
    """Return whether a query of this split and tag has a relevant document."""
    asked = dataset.queries(split, tag)["query_id"]
    return max(dataset.judgments(asked)["score"].to_pylist(), default=0.0) > 0


def measure_judged(
    dataset: Dataset,
    student: Contender,
    teacher: Contender,
    root: str,
    config: EvaluationConfig,
    encoding: EncodingConfig,
) -> Measured:
    """Evaluate both at the dimensions of `config`, which the student has."""
    evaluations: list[Evaluation] = []
    widest = baseline_dimensions(config.dimensions, teacher.table.info.width)
    for contender, dimensions in ((student, config.dimensions), (teacher, widest)):
        evaluation = evaluate(
            dataset,
            contender.table,
            contender.model,
            storage.join(root, "evaluations", "{key}"),
            config.model_copy(update={"dimensions": dimensions}),
            encoding,
            name=contender.name,
        )
        evaluations.append(evaluation)

    of_student, of_teacher = (evaluation.metrics for evaluation in evaluations)
    metric = principal_metrics(list(next(iter(of_student.values()))))[0]
    quality = Quality(
        metric,
        {dimension: row[metric] for dimension, row in of_student.items()},
        {dimension: of_teacher[dimension][metric] for dimension in of_student},
    )
    contenders = []
    for contender, evaluation in zip((student, teacher), evaluations, strict=True):
        contenders.append(replace(contender, evaluation=evaluation))
    return Measured(quality, contenders)
