"""Make the champion before this one champion again, and have a running server swap back."""

from collections.abc import Sequence

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.operate.promotion import roll_back
from serve.operate.swap import ServingConfig


class RollbackJob(JobConfig):
    """Config of `medembed rollback`; rolled back twice, all is as before."""

    serving: ServingConfig = ServingConfig()
    registry: RegistryConfig = RegistryConfig()


def run(job: RollbackJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    return {"lines": roll_back(registry, job.serving)}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RollbackJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
