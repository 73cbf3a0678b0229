"""Find the documents nearest to a query in an embedding table: exactly, by a Matryoshka funnel, or
by an index.
"""

from collections.abc import Sequence

from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed.registry.resolve import resolve_models
from medembed.tables.search import TableSearchConfig, search_table


class SearchJob(JobConfig, TableSearchConfig):
    """Config of `medembed search`."""


def run(job: SearchJob) -> Summary:
    return search_table(resolve_models(job, job.registry, on_cluster=is_on_cluster()))


def main(argv: Sequence[str] | None = None) -> None:
    run_job(SearchJob, run, argv)


if __name__ == "__main__":
    main()
