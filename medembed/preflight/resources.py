"""Count what the Ray that the job is connected to has, or may grow to."""

import os
from dataclasses import dataclass

from medembed.errors import ConfigError


@dataclass(frozen=True)
class Resources:
    """Of all nodes together; `memory_bytes` is what Ray gives to workers."""

    cpus: float
    gpus: float
    memory_bytes: float

    def fit(self, workers: int, cpus: float, gpus: float) -> int:
        """Return how many of `workers` have room at once, each with so many CPUs and GPUs."""
        rooms = [workers, int(self.cpus // cpus)] + ([int(self.gpus // gpus)] if gpus else [])
        return min(rooms)


def find_resources() -> Resources:
    """Count the nodes that are up and, where a cluster grows by itself, the most it may have."""
    import ray
    from ray._private.state import state  # as Ray Train itself asks; there is no public way

    largest = state.get_max_resources_from_cluster_config() or {}
    totals: dict[str, float] = {}
    for name in ("CPU", "GPU", "memory"):
        totals[name] = float(max(ray.cluster_resources().get(name, 0), largest.get(name, 0)))
    if len(ray.nodes()) == 1 and not largest:
        # a job's own Ray says more than there are, for actors that wait
        totals["CPU"] = min(totals["CPU"], os.cpu_count() or 1)
    return Resources(totals["CPU"], totals["GPU"], totals["memory"])


def check_fit(name: str, resources: Resources, workers: int, cpus: float, gpus: float) -> int:
    """Return how many of `workers` have room. Raises ConfigError if not even one has."""
    fitting = resources.fit(workers, cpus, gpus)
    if fitting < 1:
        raise ConfigError(
            "{name}: one worker asks for {cpus:g} CPUs and {gpus:g} GPUs, but Ray has "
            "{all_cpus:g} and {all_gpus:g}; ask for less, or set RAY_ADDRESS to a cluster that has "
            "them.",
            name=name,
            cpus=cpus,
            gpus=gpus,
            all_cpus=resources.cpus,
            all_gpus=resources.gpus,
        )
    return fitting
