"""Make a registered model the champion, which serving loads."""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed.config import Config
from medembed.encoding.model_files import fetch_model
from medembed.registry.config import RegistryConfig
from medembed.registry.models import CHAMPION, open_registry


class PromoteJob(Config):
    """Config of `medembed promote`."""

    model: str = Field(description="models:/<name>/<version> or models:/<name>@<alias>")
    registry: RegistryConfig = RegistryConfig()


def run(job: PromoteJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    version = registry.resolve(job.model)
    fetch_model(version.source)  # a champion that cannot be loaded would be found out by serving, at night
    registry.set_alias(version)
    return {"lines": [f"models:/{version.name}@{CHAMPION} is now version {version.version}: {version.source}"]}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PromoteJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
