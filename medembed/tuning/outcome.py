"""Publish what a search found: the winner as a version, its config, a report, trials as runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from medembed import storage
from medembed.artifact import read_manifest
from medembed.data.dataset import Dataset
from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.words import lost_to
from medembed.language import tr
from medembed.lineage import CheckpointManifest
from medembed.privacy import without_passwords
from medembed.registry.champion import name_loss
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.register import register_checkpoint
from medembed.tuning.config import TuneConfig
from medembed.tuning.report import draw_report
from medembed.tuning.space import Axis
from medembed.tuning.trial import Shared
from medembed.tuning.trials import OBJECTIVE, TrialRecord, model_place

BEST = "best.yaml"
REPORT = "report.html"


@dataclass(frozen=True)
class Tuned:
    """What a search found."""

    records: Sequence[TrialRecord]
    best: TrialRecord
    version: Version
    report: str
    best_config: str
    examples: int  # that a whole trial sees
    seconds: dict[str, float]
    retention: Retention | None  # the winner against the base model


def publish(
    shared: Shared,
    records: Sequence[TrialRecord],
    best: TrialRecord,
    axes: Sequence[Axis],
    dataset: Dataset,
    registry: Registry,
    retention: Retention | None,
) -> Version:
    """Write the report and the winner's config, and return the registered winner."""
    config = shared.config
    place = model_place(shared.output, best.number)
    checkpoint = Checkpoint(place, read_manifest(place, CheckpointManifest))
    examples = shared.cut_pool(config.settings(best.point).mining)
    files = {
        REPORT: draw_report(records, best, axes, config, retention),
        BEST: _config_to_train(shared, best),
    }
    for name, content in files.items():
        storage.write_bytes(storage.join(shared.output, name), content.encode())
    lineage = Lineage(
        dataset=dataset.as_source,
        examples=examples.as_source if examples else None,
        output=shared.output,
        search=shared.output,
        trial=str(best.number),
        lost_elsewhere=name_loss(lost_to(retention)),
    )
    metrics = {OBJECTIVE: best.score} | (retention.metrics if retention else {})
    version, is_new = register_checkpoint(
        registry, checkpoint, config, metrics=metrics, lineage=lineage, artifacts=files
    )
    if not is_new:  # the same winner, of more trials
        for name, content in files.items():
            registry.write_artifact(version.run_id, name, content)
    for record in records:
        if record.is_over:
            _log_trial(registry, version, record, config)
    return version


def _config_to_train(shared: Shared, best: TrialRecord) -> str:
    """Return a config of `medembed train` with the best settings; a comment says how to mine."""
    config = shared.config
    training, mining = config.settings(best.point)
    examples = shared.cut_pool(mining)
    settings = {
        "model": config.model,
        "data": config.data,
        "examples": examples.uri if examples else None,
        "output": storage.join(shared.output, "model"),
        "training": training.model_dump(mode="json", exclude={"preset"}),
        "retention": config.retention.model_dump(mode="json", exclude_defaults=True),
        "registry": config.registry.model_dump(mode="json", exclude_unset=True),
    }
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    if examples:
        margin = "null" if mining.margin is None else f"{mining.margin:g}"
        comment = tr(
            "{pairs:,} pairs. For all of them mine with mining.negatives={negatives} "
            "mining.margin={margin}, and give their examples here.",
            pairs=config.pairs,
            negatives=mining.negatives,
            margin=margin,
        )
        text = f"# {comment}\n{text}"
    return without_passwords(text)


def _log_trial(
    registry: Registry, winner: Version, record: TrialRecord, config: TuneConfig
) -> None:
    """Log a trial with its course as a child of the winner's run in MLflow, once."""
    tags = {"mlflow.parentRunId": winner.run_id} | Lineage(trial=str(record.number)).to_tags()
    if registry.find_run(tags) is not None:
        return
    course = []
    for measured in record.course:
        course.append((OBJECTIVE, measured.examples, measured.objective))
        for name, value in measured.metrics.items():
            course.append((name, measured.examples, value))
    reason = Lineage(reason=record.reason or None).to_tags()
    registry.log_run(
        params=record.point | {"pairs": config.pairs},
        metrics={"best_objective": record.score} if math.isfinite(record.score) else {},
        tags=tags | {"state": record.state} | reason,
        artifacts={},
        history=course,
    )
