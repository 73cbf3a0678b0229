"""Measure a model on a data set or BEIR folder at every dimension, beside any number of others;
report in HTML.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.beforehand import check_room
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import InputUri, ModelUri, OutputUri, to_yaml
from medembed.data.collection import open_collection
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import EvaluationConfig, RetentionConfig
from medembed.evaluation.elsewhere import Model, measure_retention
from medembed.evaluation.report import headline
from medembed.evaluation.retained import Retention
from medembed.evaluation.retention import RetentionSet, open_retention
from medembed.evaluation.retention_screen import format_retention
from medembed.evaluation.screen import format_metrics, format_slices, format_table
from medembed.evaluation.side_by_side import (
    Contender,
    SideBySide,
    check_data,
    check_request,
    compare_models,
    enter,
    name_models,
)
from medembed.lineage import Source
from medembed.privacy import without_passwords
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, open_registry, resolve_model
from medembed.schema import fingerprint
from medembed.tags import Lineage


class MeasureJob(EvaluationConfig):
    """What is measured, of which model, on which data, and where that lies."""

    model: ModelUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(
        description="data set made by `medembed prepare`, or a BEIR folder, taken as it is"
    )
    output: OutputUri = Field(description="folder for metrics.json, report.html, plots and tables")
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()

    @property
    def evaluation(self) -> EvaluationConfig:
        """What is measured, without what is compared and where."""
        return EvaluationConfig(
            **{name: getattr(self, name) for name in EvaluationConfig.model_fields}
        )


class EvaluateJob(MeasureJob):
    """Config of `medembed evaluate`."""

    baseline: ModelUri | tuple[ModelUri, ...] = Field(
        default=(),
        description="models to compare with, one or a list; at the same dimensions, and at their "
        "full width",
    )
    bm25: bool = Field(default=False, description="compare with BM25 too: what words alone find")
    retention: RetentionConfig = RetentionConfig()

    @property
    def baselines(self) -> tuple[str, ...]:
        return (self.baseline,) if isinstance(self.baseline, str) else self.baseline


def run(job: EvaluateJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    output = storage.absolute(job.output)
    references = (job.model, *job.baselines)
    dataset, models = open_inputs(job, references, bm25=job.bm25)
    # one made of what is measured on says nothing new
    given = job.retention.model_copy(update={"made": False})
    sets = open_retention(given, output, dataset, models[0])
    contenders = enter_models(job, references, models, dataset)
    found = compare_models(
        dataset,
        contenders,
        output,
        job.evaluation,
        job.encoding,
        title="Evaluation",
        facts=_facts(contenders),
        bm25=job.bm25,
        retention=_look_elsewhere(job, sets, contenders, output),
    )
    found.write(output)
    run_id = _log(registry, job, dataset, found)
    lines = [
        *_tables(found),
        *format_retention(found.page.retention),
        f"report: {storage.join(output, 'report.html')}",
    ]
    lines.append(f"MLflow: {without_passwords(registry.tracking_uri)}, run {run_id}")
    return {
        "output": output,
        "dataset": {"fingerprint": dataset.fingerprint, "counts": dataset.manifest.counts},
        "measured": found.measured,
        "evaluations": {
            one.name: {"uri": one.uri, "encoder": one.encoder} for one in found.evaluations
        },
        "run_id": run_id,
        **found.numbers,
        "lines": lines,
    }


def open_inputs(
    job: MeasureJob, references: Sequence[str], *, bm25: bool = False
) -> tuple[Dataset, list[str]]:
    """(the data set, the models by references that workers can load).

    What is wrong with models or data is found out here, before anything is encoded.
    """
    check_room(job.encoding)
    models = [
        resolve_model(reference, job.registry, on_cluster=is_on_cluster())
        for reference in references
    ]
    check_request(job.evaluation, models)
    output = storage.absolute(job.output)
    dataset = open_collection(storage.absolute(job.data), storage.join(output, "data", "{key}"))
    check_data(dataset, job.evaluation, bm25=bm25)
    return dataset, models


def enter_models(
    job: MeasureJob, references: Sequence[str], models: Sequence[str], dataset: Dataset
) -> list[Contender]:
    """The models, which people call by these references, with their embedding tables, found again
    if they are made.
    """
    output = storage.absolute(job.output)
    named = zip(name_models(references), models, strict=True)
    return [enter(dataset, name, model, output, job.encoding) for name, model in named]


def _look_elsewhere(
    job: EvaluateJob, sets: Sequence[RetentionSet], contenders: Sequence[Contender], output: str
) -> Retention | None:
    """The first model against the others on the retention sets, if any is given."""
    first = contenders[0]
    dimensions = job.dimensions or first.table.info.dimensions or (first.table.info.width,)
    models = [Model(contender.name, contender.model) for contender in contenders]
    return measure_retention(sets, models, output, dimensions, job.retention, job.encoding)


def _tables(found: SideBySide) -> list[str]:
    if not found.comparisons:
        return [*format_metrics(found.evaluations[0]), headline(found.page)]
    lines: list[str] = []
    for comparison in found.comparisons:
        lines += ["", f"{comparison.model} against {comparison.baseline}", format_table(comparison)]
        lines += [format_slices(comparison)] if comparison.slices else []
        lines += [headline(comparison)]
    return lines


def _facts(contenders: Sequence[Contender]) -> list[tuple[str, str]]:
    return [
        (f"model {one.name}", f"{without_passwords(one.model)} ({one.table.info.encoder})")
        for one in contenders
    ]


def _log(registry: Registry, job: EvaluateJob, dataset: Dataset, found: SideBySide) -> str:
    """The MLflow run of this evaluation, found again if nothing changed."""
    config = to_yaml(job)
    lineage = Lineage(
        job="evaluation",
        dataset=Source(dataset.fingerprint),
        encoder=found.evaluations[0].encoder,
        output=storage.absolute(job.output),
        evaluation=fingerprint([config, [one.uri for one in found.evaluations]]),
    )
    tags = lineage.to_tags()
    params = {
        "model": job.model,
        "data": job.data,
        "baseline": ", ".join(job.baselines),
        "split": job.split,
    }
    safe = {name: without_passwords(str(value)) for name, value in params.items()}
    files = {**found.files, "config.yaml": config}
    return registry.find_run(tags) or registry.log_run(
        params=safe, metrics=found.metrics, tags=tags, artifacts=files
    )


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EvaluateJob, run, argv)


if __name__ == "__main__":
    main()
