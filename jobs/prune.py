"""Remove registered versions that are past keeping, with checkpoints, tables and evaluations that
only they need.
"""

from collections.abc import Iterator, Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import Config, InputUri
from medembed.custody.prune import Leaving, find_leaving, remove_versions
from medembed.registry.catalog import all_versions
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class PruneJob(Config):
    """Config of `medembed prune`; interrupted, the same command goes on."""

    keep: int = Field(
        default=5,
        ge=1,
        description="the newest versions stay, beside those with an alias as champion and "
        "previous, and their parents",
    )
    keep_versions: tuple[int, ...] = Field(
        default=(),
        description="numbers of versions that stay too, as of those that a server was deployed "
        "with",
    )
    places: tuple[InputUri, ...] = Field(
        default=(),
        description="folders to search for evaluations, beside those that lie next to the "
        "checkpoints",
    )
    dry_run: bool = Field(
        default=True, description="only say what would go; false removes it, for good"
    )
    registry: RegistryConfig = RegistryConfig()


def run(job: PruneJob) -> Summary:
    registry = open_registry(job.registry, on_cluster=is_submitted())
    places = [storage.absolute(uri) for uri in job.places]
    numbers = [str(number) for number in job.keep_versions]
    leaving = find_leaving(registry, job.keep, places, numbers)
    registered = len(all_versions(registry, job.registry.model_name))
    stayed = [] if job.dry_run else remove_versions(registry, leaving)
    gone = [each for each in leaving if each.version.reference not in stayed]
    lines: list[str] = []
    sizes: dict[str, int] = {}  # by place, as two versions may have the same
    for each in gone:
        lines += show(each)
        sizes |= each.sizes
    lines += [f"{name} has been given an alias meanwhile: it stays" for name in stayed]
    size = sum(sizes.values())
    verb = "would go" if job.dry_run else "removed"
    lines.append(
        f"{len(gone)} versions {verb}, {size / 2**20:,.1f} MiB; {registered - len(gone)} stay"
    )
    if job.dry_run and gone:
        lines.append("nothing has changed; dry_run=false removes them for good")
    return {"versions": [each.version.reference for each in gone], "bytes": size, "lines": lines}


def show(leaving: Leaving) -> Iterator[str]:
    """Yield lines on a version, and what goes with it."""
    yield f"{leaving.version.reference}, {sum(leaving.sizes.values()) / 2**20:,.1f} MiB"
    yield from (f"  {uri}, {size / 2**20:,.1f} MiB" for uri, size in leaving.sizes.items())
    yield from (f"  {note}" for note in leaving.notes)


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PruneJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
