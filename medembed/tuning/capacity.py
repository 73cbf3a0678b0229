"""Count how many trials fit on a Ray cluster at a time; more would wait for each other."""

from collections.abc import Iterable, Mapping, Sequence

from medembed.errors import ConfigError
from medembed.language import tr
from medembed.tuning.config import TuneConfig

Node = Mapping[str, float]  # {"CPU": 16.0, "GPU": 4.0}


def find_nodes() -> list[Node]:
    """Return what each living node of the cluster has."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def worker_resources(config: TuneConfig) -> dict[str, float]:
    """Return what each worker of a trial takes."""
    resources = {"CPU": float(config.training.cpus_per_worker)}
    if config.training.use_gpu:
        resources["GPU"] = 1 / config.trials_per_gpu
    return resources


def count_room(config: TuneConfig, nodes: Sequence[Node], spare_cpus: float = 0) -> int:
    """Return how many trials fit at a time, `config.concurrent` at most.

    The workers of a trial may lie on several nodes. `spare_cpus` of each node are not counted.
    Raises ConfigError if not even one fits.
    """
    workers = config.training.most_workers
    each = worker_resources(config)
    if config.trials_per_gpu > 1 and workers > 1:
        raise ConfigError(
            "trials_per_gpu: found {trials_per_gpu} with {workers} workers a trial; only "
            "trials of one worker can share a GPU, as workers of one training cannot.",
            trials_per_gpu=config.trials_per_gpu,
            workers=workers,
        )
    places = 0
    there = []
    for node in nodes:
        free = {**node, "CPU": node.get("CPU", 0.0) - spare_cpus}
        fitting = min(free.get(name, 0.0) / amount for name, amount in each.items())
        places += int(fitting + 1e-9)
        there.append(_describe(free, each))
    if places < workers:
        raise ConfigError(
            "a trial needs {workers} workers of {resources} each, but the cluster's nodes "
            "have: {nodes}; lower training.workers or training.cpus_per_worker, or add nodes.",
            workers=workers,
            resources=_describe(each, each),
            nodes="; ".join(there) or tr("no node"),
        )
    return min(places // workers, config.concurrent or places)


def _describe(node: Node, names: Iterable[str]) -> str:
    """Return "CPU 16, GPU 4": what a node has of these resources."""
    return ", ".join(f"{name} {node.get(name, 0.0):g}" for name in names)
