"""Bring a backup to a new place and register its models, with their numbers and aliases, in an
empty registry.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import InputUri, OutputUri
from medembed.custody.restore import Restoration
from medembed.custody.screen import describe_restoration
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class RestoreJob(JobConfig):
    """Config of `medembed restore`; interrupted, the same command goes on."""

    backup: InputUri = Field(description="folder made by `medembed backup`")
    output: OutputUri = Field(
        description="folder, s3:// or gs:// for models, tables, data sets and examples"
    )
    registry: RegistryConfig = RegistryConfig()


def run(job: RestoreJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    backup = storage.absolute(job.backup)
    restoration = Restoration(backup, storage.absolute(job.output), registry)
    restoration.restore()
    return {
        "output": restoration.output,
        "restored": {
            "versions": len(restoration.manifest.versions),
            "files": len(restoration.files),
            "bytes": restoration.size_bytes,
        },
        "lines": list(describe_restoration(restoration)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RestoreJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
