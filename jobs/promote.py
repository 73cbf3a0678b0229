"""Make a registered model the champion, and have a running server swap to it without a pause."""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed.language import tr
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.operate.promotion import promote_candidate
from serve.operate.swap import ServingConfig


class PromoteJob(JobConfig):
    """Config of `medembed promote`."""

    model: str = Field(description="models:/<name>/<version> or models:/<name>@<alias>")
    force: bool = Field(
        default=False,
        description="promote a candidate too that its retraining refused, or compared with "
        "another champion",
    )
    reason: str | None = Field(
        default=None, min_length=3, description="why it was forced, kept with the version"
    )
    serving: ServingConfig = ServingConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.force != (self.reason is not None):
            raise ValueError(tr("force and reason: give both, force=true reason='...', or neither"))
        return self


def run(job: PromoteJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    version = registry.resolve(job.model)
    return {"lines": promote_candidate(registry, version, job.serving, job.reason)}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PromoteJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
