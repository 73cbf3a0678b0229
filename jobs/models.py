"""List the versions of a registered model: when each was made, its aliases, its scores on the dev
sample.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from jobs.session import Summary, is_submitted, run_job
from medembed.config import Config
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Listed, open_registry

_DEV = re.compile(r"dev_(?P<metric>.+)_(?P<dimension>\d+)")


class ModelsJob(Config):
    """Config of `medembed models`."""

    count: int = Field(default=20, ge=1, le=1000, description="versions to list, the newest first")
    registry: RegistryConfig = RegistryConfig()


def run(job: ModelsJob) -> Summary:
    registry, name = open_registry(job.registry, on_cluster=is_submitted()), job.registry.model_name
    listed = registry.versions(name, job.count)
    return {"lines": list(show(name, listed, registry.aliases(name)))}


def show(name: str, listed: Sequence[Listed], aliases: Mapping[str, str]) -> Iterator[str]:
    """A line for each version, behind a heading."""
    if not listed:
        yield f"models:/{name}: no versions; the jobs train and finetune register them."
        return
    yield "version   made               aliases              dev sample"
    for one in listed:
        named = ", ".join(
            sorted(alias for alias, version in aliases.items() if version == one.version.version)
        )
        line = (
            f"{one.version.version:>7}   {one.made:%Y-%m-%d %H:%M}   {named:<20} "
            f"{_scores(one.metrics)}"
        )
        yield line.rstrip()


def _scores(metrics: Mapping[str, float]) -> str:
    """ "ndcg_10 at 384: 0.633, at 64: 0.634", of the dev sample."""
    found = sorted(
        (
            (match["metric"], -int(match["dimension"]), value)
            for key, value in metrics.items()
            if (match := _DEV.fullmatch(key))
        )
    )
    parts = {metric: [] for metric, _, _ in found}  # type: dict[str, list[str]]
    for metric, dimension, value in found:
        parts[metric].append(f"{-dimension}: {value:.3f}")
    return "; ".join(f"{metric} at {', '.join(scores)}" for metric, scores in parts.items())


def main(argv: Sequence[str] | None = None) -> None:
    run_job(ModelsJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
