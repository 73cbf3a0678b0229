"""Bring a backup to a new place and register its models, with their numbers and aliases, in an
empty registry.
"""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri, OutputUri
from medembed.custody.restore import restore
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
    done = restore(storage.absolute(job.backup), output, registry)
    name = job.registry.model_name
    numbers = sorted(registry.aliases(name).items())
    aliases = ", ".join(f"@{alias} is {number}" for alias, number in numbers)
    line = (
        f"models:/{name}: {done.versions} versions registered ({aliases or 'no alias'}); "
        f"{done.files:,} files, {done.bytes / 2**20:,.1f} MiB, all hashes right; {done.copied:,} "
        f"files copied to {without_passwords(output)}"
    )
    return {"output": output, "restored": asdict(done), "lines": [line]}


def main(argv: Sequence[str] | None = None) -> None:
    run_job(RestoreJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
