"""Remove registered versions that are past keeping, with checkpoints, tables and evaluations that
only they need.
"""

from collections.abc import Sequence

from pydantic import Field

from jobs.language import JobConfig
from jobs.session import Summary, is_submitted, run_job
from medembed import storage
from medembed.config import InputUri
from medembed.custody.prune import prune
from medembed.custody.screen import describe_pruning
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry


class PruneJob(JobConfig):
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
    places = list(map(storage.absolute, job.places))
    numbers = list(map(str, job.keep_versions))
    pruning = prune(registry, job.keep, places, numbers, is_dry=job.dry_run)
    return {
        "versions": [leaving.version.reference for leaving in pruning.gone],
        "bytes": sum(pruning.sizes.values()),
        "lines": list(describe_pruning(pruning, is_dry=job.dry_run)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    run_job(PruneJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
