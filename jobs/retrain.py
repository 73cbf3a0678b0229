"""Make the next model from files that landed, prove that it is better, and put it in place, or say
why not.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.beforehand import check_room
from jobs.language import JobConfig
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.evaluation.checks import check_request
from medembed.finetuning.lock import BUSY, retrain_alone
from medembed.finetuning.retrain_config import RetrainConfig, TriggerConfig
from medembed.finetuning.screen import describe_retrained, summarize_retrained
from medembed.finetuning.stages import check_run
from medembed.finetuning.watch import Watch
from medembed.registry.models import Registry, Version, open_registry
from serve.operate.promotion import replace_champion
from serve.operate.swap import ServingConfig


class RetrainJob(JobConfig, RetrainConfig):
    """Config of `medembed retrain`; `source.path` is the place where files land."""

    watch: bool = Field(
        default=False, description="look again and again, until interrupted; see trigger"
    )
    trigger: TriggerConfig = TriggerConfig()
    serving: ServingConfig = ServingConfig()


def run(job: RetrainJob) -> Summary:
    check_room(job.encoding, job.training)
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    job = check_run(job, registry, on_cluster=is_on_cluster())
    check_request(job.evaluation, [storage.absolute(job.model)])
    if job.watch:
        Watch(job, registry, job.trigger).run(lambda: _attempt(job, registry))
    return _once(job, registry)


def _once(job: RetrainJob, registry: Registry) -> Summary:
    def publish(version: Version, seen: str | None) -> list[str]:
        return replace_champion(registry, version, job.serving, seen)

    result = retrain_alone(job, registry, publish)
    return {
        # of the other retraining, if that is at work there
        "output": None if result.outcome == BUSY else storage.absolute(job.output),
        **summarize_retrained(result),
        "lines": describe_retrained(result, registry),
    }


def _attempt(job: RetrainJob, registry: Registry) -> bool:
    """Retrain once, print what came of it, and say whether the files were judged."""
    summary = _once(job, registry)
    print("\n".join(summary["lines"]), flush=True)
    return bool(summary["outcome"] != BUSY)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RetrainJob, run, argv)


if __name__ == "__main__":
    main()
