"""Look after an embedding table: log, rollback, compact, index, verify, export."""

import sys
from collections.abc import Sequence
from typing import get_args

from jobs.language import JobConfig
from jobs.session import Ray, Summary, is_on_cluster, run_job
from medembed.registry.resolve import resolve_models
from medembed.tables.maintain import Action, TableConfig, maintain_table


class TableJob(JobConfig, TableConfig):
    """Config of `medembed table`."""


def run(job: TableJob) -> Summary:
    return maintain_table(resolve_models(job, job.registry, on_cluster=is_on_cluster()))


def _ray(job: TableJob) -> Ray:
    return "any" if job.action in ("verify", "export") else "none"


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in get_args(Action):
        arguments = [*arguments[1:], f"action={arguments[0]}"]
    run_job(TableJob, run, arguments, ray=_ray)


if __name__ == "__main__":
    main()
