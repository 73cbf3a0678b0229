"""Say what a distillation gave: on a screen, and in summary.json."""

from dataclasses import asdict
from typing import Any

from medembed.distillation.cost import describe_costs
from medembed.distillation.distill import Distilled
from medembed.language import tr
from medembed.registry.config import RegistryConfig, command


def describe_distilled(result: Distilled, registry: RegistryConfig) -> list[str]:
    """Return what the student keeps and costs, and where it lies."""
    reference = result.version.reference
    lines = ["", *result.quality.describe()]
    for name, value in describe_costs(*result.costs):
        lines.append(tr("{name}: {value}", name=name, value=value))
    if result.report is None:
        lines.append(
            tr(
                "no judged queries of dev and test: what counts as right is what the teacher ranks "
                "first among texts that were held out"
            )
        )
    else:
        lines.append(tr("report: {uri}", uri=result.report))
    score = result.checkpoint.describe_score()
    return [
        *lines,
        tr("checkpoint: {uri}, {score}", uri=result.checkpoint.uri, score=score),
        tr(
            "registered: {version}; make it the champion with: {command}",
            version=reference,
            command=command(registry, "promote", f"model={reference}"),
        ),
    ]


def summarize_distilled(result: Distilled) -> dict[str, Any]:
    """Return a run of `medembed distill` as summary.json has it."""
    quality = result.quality
    student, teacher = result.costs
    origin = result.checkpoint.manifest.origin
    return {
        "metric": quality.metric,
        "student": {"quality": _by_dimension(quality.student), **asdict(student)},
        "teacher": {"quality": _by_dimension(quality.teacher), **asdict(teacher)},
        "kept": _by_dimension(quality.kept),
        "checkpoint": {
            "uri": result.checkpoint.uri,
            "fingerprint": result.checkpoint.fingerprint,
            "parent": origin.parent and asdict(origin.parent),
            "teacher": origin.teacher and asdict(origin.teacher),
            "dimensions": result.checkpoint.manifest.dimensions,
            "dev": result.checkpoint.manifest.dev,
        },
        "registered": {"model": result.version.reference, "run_id": result.version.run_id},
        "report": result.report,
        "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
    }


def _by_dimension(values: Any) -> dict[str, float]:
    return {str(dimension): value for dimension, value in values.items()}
