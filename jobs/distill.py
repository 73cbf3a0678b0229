"""Make a smaller model of a larger one: measured beside it, registered if it keeps enough."""

from collections.abc import Sequence

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.distillation.config import DistillConfig
from medembed.distillation.distill import distill
from medembed.distillation.screen import describe_distilled, summarize_distilled
from medembed.registry.models import open_registry
from medembed.registry.resolve import resolve_models


class DistillJob(JobConfig, DistillConfig):
    """Config of `medembed distill`."""


def run(job: DistillJob) -> Summary:
    check_room(job.encoding, job.training)
    on_cluster = is_on_cluster()
    registry = open_registry(job.registry, on_cluster=on_cluster)
    registry.check_output(job.output)
    result = distill(resolve_models(job, job.registry, on_cluster=on_cluster), registry)
    return {
        "output": storage.absolute(job.output),
        **summarize_distilled(result),
        "lines": describe_distilled(result, job.registry),
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(DistillJob, run, argv)


if __name__ == "__main__":
    main()
