"""Say whether fine-tuning is worth it and what is wrong with the data, from a sample, before it
costs anything.
"""

from collections.abc import Sequence

from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed.preflight.check import CheckConfig, check_worth
from medembed.registry.resolve import resolve_models


class PreflightJob(JobConfig, CheckConfig):
    """Config of `medembed preflight`."""


def run(job: PreflightJob) -> Summary:
    return check_worth(resolve_models(job, job.registry, on_cluster=is_on_cluster()))


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PreflightJob, run, argv)


if __name__ == "__main__":
    main()
