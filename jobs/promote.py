"""Make a registered model the champion, and have a running server swap to it without a pause."""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed.config import Config
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.promotion import promote
from serve.swap import ServingConfig


class PromoteJob(Config):
    """Config of `medembed promote`."""

    model: str = Field(description="models:/<name>/<version> or models:/<name>@<alias>")
    serving: ServingConfig = ServingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: PromoteJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    return {"lines": promote(registry, registry.resolve(job.model), job.serving)}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PromoteJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
