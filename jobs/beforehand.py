"""What can be known before the first stage: outputs that can be written, workers that have room."""

import os

from medembed import storage
from medembed.config import Config
from medembed.encoding.config import EncodingConfig
from medembed.errors import ConfigError
from medembed.training.config import TrainingConfig
from medembed.uris import list_uris


def check_outputs(config: Config) -> None:
    """Raises ConfigError if an output on this machine's disk cannot be a folder that this user
    writes to.
    """
    for key, role, uri in list_uris(config):
        if role != "output" or not storage.is_local(uri):
            continue
        place = storage.local_path(uri)
        there = next(each for each in (place, *place.parents) if each.exists())
        if not there.is_dir():
            raise ConfigError(
                f"{key}: {there} is a file, expected a folder or a new one; choose another {key}."
            )
        if not os.access(there, os.W_OK):
            raise ConfigError(
                f"{key}: {there} cannot be written to; choose another {key}, or change its "
                "permissions."
            )


def check_room(
    encoding: EncodingConfig | None = None, training: TrainingConfig | None = None
) -> None:
    """Raises ConfigError if this machine's own Ray lacks the CPUs or GPUs of the workers: they
    would wait for ever.

    Of encoding one worker must have room, of training the fewest. A cluster may grow, and is not
    asked.
    """
    if os.environ.get("RAY_ADDRESS"):
        return
    if encoding is not None:
        _check("encoding", 1, float(encoding.cpus_per_worker), encoding.gpus_per_worker)
    if training is not None:
        fewest = training.workers if isinstance(training.workers, int) else training.workers[0]
        _check("training", fewest, float(training.cpus_per_worker), float(training.use_gpu))


def _check(name: str, workers: int, cpus: float, gpus: float) -> None:
    import ray

    have = ray.cluster_resources()
    if workers * cpus > have.get("CPU", 0) or workers * gpus > have.get("GPU", 0):
        raise ConfigError(
            f"{name}: {workers} workers with {cpus:g} CPUs and {gpus:g} GPUs each, but this "
            f"machine has room for {have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs; "
            f"lower {name}.workers or what each takes, or set RAY_ADDRESS to a cluster that has "
            "them."
        )
