"""Encode a corpus with a model into an embedding table: a data set, or files of your own with id
and text.
"""

from collections.abc import Sequence

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed.registry.resolve import resolve_models
from medembed.tables.encode import EncodeConfig, encode_into_table


class EncodeJob(JobConfig, EncodeConfig):
    """Config of `medembed encode`."""


def run(job: EncodeJob) -> Summary:
    check_room(job.encoding)
    return encode_into_table(resolve_models(job, job.registry, on_cluster=is_on_cluster()))


def main(argv: Sequence[str] | None = None) -> None:
    run_job(EncodeJob, run, argv)


if __name__ == "__main__":
    main()
