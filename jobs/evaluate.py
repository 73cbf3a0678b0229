"""Measure a model on a data set or BEIR folder at every dimension, beside others; HTML report."""

from collections.abc import Sequence

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.evaluation.evaluate_models import (
    EvaluateConfig,
    describe,
    evaluate_models,
    summarize,
)
from medembed.language import tr
from medembed.privacy import without_passwords
from medembed.registry.models import open_registry


class EvaluateJob(JobConfig, EvaluateConfig):
    """Config of `medembed evaluate`."""


def run(job: EvaluateJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    check_room(job.encoding)
    evaluated = evaluate_models(job, registry, on_cluster=is_on_cluster())
    output = storage.absolute(job.output)
    lines = describe(evaluated, output)
    place = without_passwords(registry.tracking_uri)
    lines.append(tr("MLflow: {place}, run {run_id}", place=place, run_id=evaluated.run_id))
    return {"output": output, **summarize(evaluated), "lines": lines}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EvaluateJob, run, argv)


if __name__ == "__main__":
    main()
