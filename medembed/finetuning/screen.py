"""Say what a fine-tuning or a retraining gave: on a screen, and in summary.json."""

from dataclasses import asdict
from typing import Any

from medembed.encoding.table import Table
from medembed.evaluation.report.headline import headline
from medembed.evaluation.result import Evaluation
from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.side_by_side import differences_of
from medembed.evaluation.words import format_table
from medembed.finetuning.finetune import Finetuned
from medembed.finetuning.lock import BUSY
from medembed.finetuning.retrain import Retrained
from medembed.language import tr
from medembed.privacy import without_passwords
from medembed.registry.models import Registry, Version


def describe_finetuned(result: Finetuned, registry: Registry) -> list[str]:
    """Return the table, the sentence, and where everything lies."""
    verdict = tr("champion") if result.is_promoted else tr("not promoted")
    return [
        "",
        format_table(result.comparison),
        headline(result.comparison),
        *format_retention(result.compared.page.retention),
        "",
        tr("model:   {uri}", uri=result.trained.checkpoint.uri),
        tr(
            "         registered as {reference} ({verdict})",
            reference=result.version.reference,
            verdict=verdict,
        ),
        tr("report:  {uri}", uri=result.report),
        _name_run(registry, result.version),
    ]


def describe_retrained(result: Retrained, registry: Registry) -> list[str]:
    """Return what was decided, and where the report lies."""
    if result.outcome == BUSY:
        return list(result.lines)
    lines = ["", *result.lines]
    if result.version is not None:
        if result.report:
            lines.append(tr("report:  {uri}", uri=result.report))
        lines.append(_name_run(registry, result.version))
    return [*lines, tr("retrain: {outcome}", outcome=tr(result.outcome))]


def _name_run(registry: Registry, version: Version) -> str:
    uri = without_passwords(registry.tracking_uri)
    return tr("MLflow:  {uri}, run {run_id}", uri=uri, run_id=version.run_id)


def summarize_finetuned(result: Finetuned) -> dict[str, Any]:
    """Return a run of `medembed finetune` as summary.json has it."""
    dataset = result.dataset
    examples = result.trained.examples
    checkpoint = result.trained.checkpoint
    parent = checkpoint.manifest.origin.parent
    retention = result.compared.page.retention
    after, before = result.compared.page.evaluations
    return {
        "headline": headline(result.comparison),
        "metrics": {
            "before": _by_dimension(before),
            "after": _by_dimension(after),
            "differences": differences_of(result.comparison),
        },
        "retention": retention and retention.numbers,
        "dataset": {
            "uri": dataset.uri,
            "fingerprint": dataset.fingerprint,
            "counts": dataset.manifest.counts,
            "splits": dataset.manifest.splits,
            "dropped": dataset.manifest.dropped,
        },
        "examples": examples
        and {
            "uri": examples.uri,
            "fingerprint": examples.fingerprint,
            "counts": examples.manifest.counts,
        },
        "checkpoint": {
            "uri": checkpoint.uri,
            "fingerprint": checkpoint.fingerprint,
            "parent": parent and asdict(parent),
            "dev": checkpoint.manifest.dev,
        },
        "tables": {
            "before": _describe_table(result.base_table),
            "after": _describe_table(result.trained.table),
        },
        "registered": {
            "model": result.version.reference,
            "run_id": result.version.run_id,
            "champion": result.is_promoted,
        },
        "report": result.report,
        "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
    }


def summarize_retrained(result: Retrained) -> dict[str, Any]:
    """Return a run of `medembed retrain` as summary.json has it."""
    dataset = result.dataset
    version = result.version
    return {
        "outcome": result.outcome,
        "files": {file.content: without_passwords(file.uri) for file in result.incoming.new},
        "left": dict(result.incoming.left),
        "dataset": dataset and {"uri": dataset.uri, "fingerprint": dataset.fingerprint},
        "model": version and version.reference,
        "gate": result.decision and asdict(result.decision),
        "queries": result.counts,
        "report": result.report,
        "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
    }


def _by_dimension(evaluation: Evaluation) -> dict[str, Any]:
    return {str(dimension): row for dimension, row in evaluation.metrics.items()}


def _describe_table(table: Table) -> dict[str, Any]:
    return {"uri": table.uri, "version": table.version, "encoder": table.info.encoder}
