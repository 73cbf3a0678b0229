"""List the versions of a registered model: when each was made, its aliases, its scores on the dev
sample.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed.registry.catalog import list_versions
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.registry.screen import describe_models


class ModelsJob(JobConfig):
    """Config of `medembed models`."""

    count: int = Field(default=20, ge=1, le=1000, description="versions to list, the newest first")
    registry: RegistryConfig = RegistryConfig()


def run(job: ModelsJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    name = job.registry.model_name
    listed = list_versions(registry, name, job.count)
    return {"lines": list(describe_models(name, listed, registry.aliases(name)))}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(ModelsJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
