"""Do the whole loop: prepare, encode, measure, mine, train, measure again, register, promote if
better.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.data.prepare import check_source
from medembed.finetuning.config import FinetuneConfig
from medembed.finetuning.finetune import Finetuned, finetune
from medembed.finetuning.screen import describe_finetuned, summarize_finetuned
from medembed.finetuning.stages import check_run
from medembed.registry.models import Registry, open_registry


class FinishedLoop(NamedTuple):
    """What a loop made, and the registry that it used."""

    result: Finetuned
    registry: Registry


class FinetuneJob(JobConfig, FinetuneConfig):
    """Config of `medembed finetune`."""


def run(job: FinetuneJob) -> Summary:
    loop = run_loop(job)
    return {
        "output": storage.absolute(job.output),
        **summarize_finetuned(loop.result),
        "lines": describe_finetuned(*loop),
    }


def run_loop(job: FinetuneConfig) -> FinishedLoop:
    """Run the whole loop, once all has been checked that can be known before."""
    check_room(job.encoding, job.training)
    check_source(job.source, job.splits)  # a missing file is found out before anything is made
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    result = finetune(check_run(job, registry, on_cluster=is_on_cluster()), registry)
    return FinishedLoop(result, registry)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(FinetuneJob, run, argv)


if __name__ == "__main__":
    main()
