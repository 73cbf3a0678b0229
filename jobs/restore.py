"""Bring a backup to a new place and register its models, with their numbers and aliases, in an
empty registry.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri, OutputUri
from medembed.custody.restore import Restoration
from medembed.privacy import without_passwords
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class RestoreJob(Config):
    """Config of `medembed restore`; interrupted, the same command goes on."""

    backup: InputUri = Field(description="folder made by `medembed backup`")
    output: OutputUri = Field(
        description="folder, s3:// or gs:// for models, tables, data sets and examples"
    )
    registry: RegistryConfig = RegistryConfig()


def run(job: RestoreJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    output = storage.absolute(job.output)
    restoration = Restoration(storage.absolute(job.backup), output, registry)
    restoration.restore()
    manifest = restoration.manifest
    files = restoration.files.values()
    size = sum(copied.bytes for copied in files)
    aliases = ", ".join(
        f"@{alias} is {number}" for alias, number in sorted(manifest.aliases.items())
    )
    line = (
        f"models:/{manifest.name}: {len(manifest.versions)} versions registered "
        f"({aliases or 'no alias'}); {len(files):,} files, {size / 2**20:,.1f} MiB, all hashes "
        f"right, in {without_passwords(output)}"
    )
    counts = {"versions": len(manifest.versions), "files": len(files), "bytes": size}
    return {"output": output, "restored": counts, "lines": [line]}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RestoreJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
