"""Measure a model on a data set at every dimension, beside a baseline if one is named."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import Config, InputUri, OutputUri
from medembed.data.dataset import Dataset, open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import Evaluation, evaluate
from medembed.evaluation.report import compare_evaluations, draw_curve, format_table, render_report
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model


class EvaluateJob(Config):
    """Config of `medembed evaluate`."""

    model: InputUri = Field(
        description="folder, s3://, gs://, package://, hf://organisation/name or models:/name@alias"
    )
    data: InputUri = Field(description="data set made by `medembed prepare`")
    output: OutputUri = Field(description="folder for metrics.json, tables and report")
    baseline: InputUri | None = Field(default=None, description="model to compare with, at the same dimensions")
    evaluation: EvaluationConfig = EvaluationConfig()
    encoding: EncodingConfig = EncodingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: EvaluateJob) -> Summary:
    dataset, output = open_dataset(storage.absolute(job.data)), storage.absolute(job.output)
    result = _measure(job, dataset, job.model, output, job.evaluation)
    summary: Summary = {"output": output, "metrics": result.metrics}
    storage.write_bytes(
        storage.join(output, "metrics.json"), storage.read_bytes(storage.join(result.uri, "metrics.json"))
    )
    if job.baseline is None:
        lines = [
            f"{d:>5} dimensions: " + ", ".join(f"{k} {v:.4f}" for k, v in row.items())
            for d, row in result.metrics.items()
        ]
        return summary | {"lines": lines}
    same = job.evaluation.model_copy(update={"dimensions": tuple(result.metrics)})
    comparison = compare_evaluations(_measure(job, dataset, job.baseline, output, same), result, same)
    facts = [("data set", dataset.fingerprint), ("baseline", job.baseline), ("model", job.model)]
    page = render_report("Model against baseline", comparison, draw_curve(comparison), facts)
    storage.write_bytes(storage.join(output, "report.html"), page.encode())
    rows = {metric: {d: asdict(row) for d, row in rows.items()} for metric, rows in comparison.differences.items()}
    lines = [format_table(comparison), f"report: {storage.join(output, 'report.html')}"]
    return summary | {"differences": rows, "lines": lines}


def _measure(job: EvaluateJob, dataset: Dataset, reference: str, output: str, config: EvaluationConfig) -> Evaluation:
    model = resolve_model(reference, job.registry, on_cluster=is_on_cluster())
    place = storage.join(output, "tables", "{key}.lance")
    table = encode_corpus(dataset.corpus_files(), dataset.fingerprint, model, place, job.encoding)
    return evaluate(dataset, table, model, storage.join(output, "evaluations", "{key}"), config, job.encoding)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EvaluateJob, run, argv)


if __name__ == "__main__":
    main()
