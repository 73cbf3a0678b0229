"""Evaluate models that people name, beside each other, and log the result: what the job does."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from pydantic import Field

from medembed import storage
from medembed.config import InputUri, ModelUri, OutputUri, to_yaml
from medembed.data.collection import open_collection
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.prompt_check import check_prompts
from medembed.evaluation.checks import check_data, check_request
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.evaluation.evaluate import BM25
from medembed.evaluation.footprint import measure_footprints
from medembed.evaluation.footprint_words import footprints_json, format_footprints
from medembed.evaluation.recommend import format_recommendation
from medembed.evaluation.report.headline import headline, headlines
from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.measure import NamedModel, measure_retention
from medembed.evaluation.retention.sets import RetentionSet, open_retention
from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.side_by_side import (
    REPORT,
    Contender,
    SideBySide,
    compare_models,
    differences_by_baseline,
)
from medembed.evaluation.words import format_metrics, format_slices, format_table, title_of
from medembed.language import tr
from medembed.lineage import Source
from medembed.privacy import without_passwords
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, resolve_model
from medembed.schema import fingerprint
from medembed.tags import Lineage

# the last step of many places, as a version's number is
_NO_NAMES = {"model", "models", "checkpoint", "main", BM25}


class EvaluateConfig(EvaluationConfig):
    """Which model is measured on which data, beside which others, and where that lies."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(
        description="data set made by `medembed prepare`, or a BEIR folder, taken as it is"
    )
    output: OutputUri = Field(description="folder for metrics.json, report.html, plots and tables")
    baseline: ModelUri | tuple[ModelUri, ...] = Field(
        default=(),
        description="models to compare with, one or a list; at the same dimensions, and at their "
        "full width",
    )
    bm25: bool = Field(default=False, description="compare with BM25 too: what words alone find")
    retention: RetentionConfig = RetentionConfig()
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()

    @property
    def references(self) -> tuple[str, ...]:
        """The model and its baselines, as the user names them."""
        baselines = (self.baseline,) if isinstance(self.baseline, str) else self.baseline
        return (self.model, *baselines)

    @property
    def evaluation(self) -> EvaluationConfig:
        """What is measured, without what is compared and where."""
        return EvaluationConfig(
            **{name: getattr(self, name) for name in EvaluationConfig.model_fields}
        )


class Evaluated(NamedTuple):
    """The models side by side, the data set, and the MLflow run that has the report."""

    side_by_side: SideBySide
    dataset: Dataset
    run_id: str


def evaluate_models(config: EvaluateConfig, registry: Registry, *, on_cluster: bool) -> Evaluated:
    """Measure the models, write the report to the output, and log it.

    What is wrong with models or data is found out before anything is encoded. Raises the errors of
    `evaluate`.
    """
    models = [
        resolve_model(reference, config.registry, on_cluster=on_cluster)
        for reference in config.references
    ]
    check_request(config.evaluation, models)
    for model in models:
        check_prompts(model)
    output = storage.absolute(config.output)
    dataset = open_collection(storage.absolute(config.data), storage.join(output, "data", "{key}"))
    check_data(dataset, config.evaluation, bm25=config.bm25)
    # a set that is made of what is measured on says nothing new
    given = config.retention.model_copy(update={"made": False})
    sets = open_retention(given, output, dataset, models[0])

    place = storage.join(output, "tables", "{key}.lance")
    files = dataset.corpus_files()
    contenders = []
    for name, model in zip(name_models(config.references), models, strict=True):
        table = encode_corpus(files, dataset.fingerprint, model, place, config.encoding)
        contenders.append(Contender(name, model, table))
    compared = compare_models(
        dataset,
        contenders,
        output,
        config.evaluation,
        config.encoding,
        title=tr("Evaluation"),
        facts=[
            (tr("model {name}", name=c.name), f"{c.model} ({c.table.info.encoder})")
            for c in contenders
        ],
        bm25=config.bm25,
        retention=_measure_retention(config, sets, contenders, output),
        footprints=measure_footprints(
            dataset, contenders[0].table, contenders[0].model, config.evaluation, config.encoding
        ),
    )
    compared.write(output)
    return Evaluated(compared, dataset, _log_run(registry, config, dataset, compared))


def name_models(references: Sequence[str]) -> list[str]:
    """Name each reference for people: as few of its last steps as tell them apart."""
    plain = [without_passwords(reference).rstrip("/") for reference in references]
    steps = [re.sub(r"^([a-z0-9]+:)?/+", "", reference).split("/") for reference in plain]
    longest = max(map(len, steps))
    for depth in range(1, longest + 1):
        names = ["/".join(row[-depth:]) for row in steps]
        says_something = not any(name in _NO_NAMES or name.isdecimal() for name in names)
        if len(set(names)) == len(names) and (says_something or depth == longest):
            return names
    return [f"{reference} ({number})" for number, reference in enumerate(plain, start=1)]


def summarize(evaluated: Evaluated) -> dict[str, Any]:
    """Return the evaluation as summary.json has it."""
    compared = evaluated.side_by_side
    page = compared.page
    dataset = evaluated.dataset
    baselines = {}
    for evaluation in page.evaluations[1:]:
        baselines[evaluation.name] = {str(d): row for d, row in evaluation.metrics.items()}
    summary = {
        "dataset": {"fingerprint": dataset.fingerprint, "counts": dataset.manifest.counts},
        "measured": compared.measured,
        "evaluations": {e.name: {"uri": e.uri, "encoder": e.encoder} for e in page.evaluations},
        "run_id": evaluated.run_id,
        "metrics": {str(d): row for d, row in page.model.metrics.items()},
        "baselines": baselines,
        "differences": differences_by_baseline(page),
        "recommendation": page.recommendation and asdict(page.recommendation),
    }
    if page.retention:
        summary["retention"] = page.retention.numbers
    if page.footprints:
        summary["footprints"] = footprints_json(page.footprints)
    return summary


def describe(evaluated: Evaluated, output: str) -> list[str]:
    """Return the evaluation in lines for a terminal: tables, headlines, and where the report is."""
    page = evaluated.side_by_side.page
    lines = [] if page.comparisons else [*format_metrics(page.model), *headlines(page)]
    for comparison in page.comparisons:
        lines += ["", title_of(comparison), format_table(comparison)]
        if comparison.slices:
            lines.append(format_slices(comparison))
        lines.append(headline(comparison))
    lines += format_retention(page.retention)
    lines += format_recommendation(page.recommendation)
    lines += format_footprints(page.footprints)
    return [*lines, tr("report: {uri}", uri=storage.join(output, REPORT))]


def _measure_retention(
    config: EvaluateConfig,
    sets: Sequence[RetentionSet],
    contenders: Sequence[Contender],
    output: str,
) -> Retention | None:
    """Measure the first model against the others on the retention sets, if any is given."""
    info = contenders[0].table.info
    dimensions = config.dimensions or info.dimensions or (info.width,)
    models = [NamedModel(contender.name, contender.model) for contender in contenders]
    return measure_retention(sets, models, output, dimensions, config.retention, config.encoding)


def _log_run(
    registry: Registry, config: EvaluateConfig, dataset: Dataset, compared: SideBySide
) -> str:
    """Log the MLflow run of this evaluation, or find it if nothing changed."""
    settings = to_yaml(config)
    lineage = Lineage(
        job="evaluation",
        dataset=Source(dataset.fingerprint),
        encoder=compared.page.model.encoder,
        output=storage.absolute(config.output),
        evaluation=fingerprint([settings, [e.uri for e in compared.page.evaluations]]),
    )
    tags = lineage.to_tags()
    run_id = registry.find_run(tags)
    if run_id:
        return run_id
    params = {
        "model": config.model,
        "data": config.data,
        "baseline": ", ".join(config.references[1:]),
        "split": config.split,
    }
    return registry.log_run(
        params={name: without_passwords(str(value)) for name, value in params.items()},
        metrics=compared.metrics,
        tags=tags,
        artifacts={**compared.files, "config.yaml": settings},
    )
