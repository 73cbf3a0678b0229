"""Copy registered models with their tables, data sets, examples and runs to another place, each
file by its hash.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri, OutputUri
from medembed.custody.backup import back_up
from medembed.custody.chain import select_kept
from medembed.errors import ServiceError
from medembed.finetuning.attempts import FILES, find_worse
from medembed.privacy import without_passwords
from medembed.registry.catalog import all_versions
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class BackupJob(Config):
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
    name = job.registry.model_name
    versions = all_versions(registry, name)
    aliases = registry.aliases(name)
    if not versions:
        raise ServiceError(
            f"models:/{name}: no versions to back up; the jobs train and finetune register them."
        )
    to = storage.absolute(job.to)
    runs = dict.fromkeys(find_worse(registry), (FILES,))  # as set_aside asks
    tables = [storage.absolute(uri) for uri in job.tables]
    chosen = select_kept(versions, aliases, job.keep)
    done = back_up(registry, chosen, aliases, to, tables, runs)
    manifest = done.manifest
    size = sum(copied.bytes for copied in manifest.copies.values())
    lines = [f"cannot be read now, and not backed up: {line}" for line in done.gone]
    for line in done.held:
        lines.append(f"cannot be read now; what an earlier backup has of it stays: {line}")
    new_size = sum(manifest.copies[name].bytes for name in done.new)
    lines.append(
        f"{without_passwords(to)}: {len(manifest.versions)} versions of models:/{name} in "
        f"{len(manifest.copies):,} files, {size / 2**20:,.1f} MiB; {len(done.new):,} files, "
        f"{new_size / 2**20:,.1f} MiB of them new"
    )
    counts = {
        "files": len(manifest.copies),
        "bytes": size,
        "new_files": len(done.new),
        "new_bytes": new_size,
        "gone": len(done.gone),
        "held": len(done.held),
    }
    return {
        "output": to,
        "versions": list(manifest.versions),
        "counts": counts,
        "gone": done.gone,
        "held": done.held,
        "lines": lines,
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(BackupJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
