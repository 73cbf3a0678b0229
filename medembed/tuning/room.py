"""How many trials a Ray cluster has room for at a time, so that none waits for what another
holds.
"""

from collections.abc import Mapping, Sequence

from medembed.errors import ConfigError
from medembed.tuning.config import TuneConfig

Node = Mapping[str, float]  # {"CPU": 16.0, "GPU": 4.0}


def find_nodes() -> list[Node]:
    """What each living node of the cluster has."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def needs(config: TuneConfig) -> tuple[int, dict[str, float]]:
    """(workers of a trial, what each takes)."""
    training = config.training
    each = {"CPU": float(training.cpus_per_worker)}
    if training.use_gpu:
        each["GPU"] = 1 / config.trials_per_gpu
    return training.most_workers, each


def count_room(config: TuneConfig, nodes: Sequence[Node], spare_cpus: float = 0) -> int:
    """Trials that fit at a time, `config.concurrent` at most; workers of a trial may lie on several
    nodes.

    `spare_cpus` of each node are not to be counted. Raises ConfigError if not even one fits.
    """
    workers, each = needs(config)
    if config.trials_per_gpu > 1 and workers > 1:
        raise ConfigError(
            f"trials_per_gpu: found {config.trials_per_gpu} with {workers} workers a trial; only "
            "trials of one worker can share a GPU, as workers of one training cannot."
        )
    free = [dict(node) | {"CPU": node.get("CPU", 0.0) - spare_cpus} for node in nodes]
    places = sum(
        int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in each.items()))
        for node in free
    )
    if places < workers:
        found = (
            "; ".join(
                ", ".join(f"{name} {node.get(name, 0.0):g}" for name in each) for node in free
            )
            or "no node"
        )
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in each.items())
        raise ConfigError(
            f"a trial needs {workers} workers of {wanted} each, but the cluster's nodes have: "
            f"{found}; lower training.workers or training.cpus_per_worker, or add nodes."
        )
    return min(places // workers, config.concurrent or places)
