"""Copy registered models with their tables, data sets, examples and runs to another place, each
file by its hash.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import InputUri, OutputUri
from medembed.custody.backup import back_up
from medembed.custody.screen import describe_backup
from medembed.finetuning.attempts import FILES, find_worse
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class BackupJob(JobConfig):
    """Config of `medembed backup`; a second one to the same place copies only what is new."""

    to: OutputUri = Field(
        description="folder, s3:// or gs:// of the backup; a new one, or an earlier one of this "
        "registry"
    )
    keep: int | None = Field(
        default=5,
        ge=1,
        description="the newest versions, beside those with an alias as champion and previous; "
        "null: all",
    )
    tables: tuple[InputUri, ...] = Field(
        default=(),
        description="embedding tables to copy at their newest version, beside those that "
        "versions name",
    )
    registry: RegistryConfig = RegistryConfig()


def run(job: BackupJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    runs = dict.fromkeys(find_worse(registry), (FILES,))  # as set_aside asks
    tables = list(map(storage.absolute, job.tables))
    backup = back_up(registry, storage.absolute(job.to), job.keep, tables, runs)
    return {
        "output": backup.uri,
        "versions": list(backup.manifest.versions),
        "counts": {
            "files": len(backup.manifest.copies),
            "bytes": backup.size_bytes,
            "new_files": len(backup.new),
            "new_bytes": backup.new_size_bytes,
            "gone": len(backup.gone),
            "held": len(backup.held),
        },
        "gone": backup.gone,
        "held": backup.held,
        "lines": list(describe_backup(backup)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(BackupJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
