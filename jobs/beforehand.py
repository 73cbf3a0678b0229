"""Check before the first stage what can be known there: places, models, room for workers."""

import os

from jobs.cluster import IN_RAY_JOB
from medembed import storage
from medembed.config import Config
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import fetch_model
from medembed.errors import ConfigError, ModelError
from medembed.language import tr
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.training.config import TrainingConfig
from medembed.uris import list_models, list_uris


def check_config(config: Config) -> None:
    """Raise a MedEmbedError for what can be seen to fail before Ray starts."""
    if IN_RAY_JOB in os.environ:
        check_places(config)
    check_outputs(config)
    check_models(config)


def check_places(config: Config) -> None:
    """Raise ConfigError if a config for a cluster names a place on one node's disk."""
    for key, role, uri in list_uris(config):
        if storage.is_local(uri):
            if role == "input":
                raise ConfigError(
                    "{key}: found local input {uri!r}, but nodes share no disk and Ray deletes a "
                    "job's folder; give s3://, gs://, package:// or hf://.",
                    key=key,
                    uri=uri,
                )
            raise ConfigError(
                "{key}: found local output {uri!r}, but nodes share no disk and Ray deletes a "
                "job's folder; give s3://, gs://.",
                key=key,
                uri=uri,
            )


def check_outputs(config: Config) -> None:
    """Raise ConfigError for an output on this disk that cannot be a folder, or be written to."""
    for key, role, uri in list_uris(config):
        if role != "output" or not storage.is_local(uri):
            continue
        folder = storage.local_path(uri)
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir():
            raise ConfigError(
                "{key}: {nearest} is a file, expected a folder or a new one; choose another {key}.",
                key=key,
                nearest=nearest,
            )
        if not os.access(nearest, os.W_OK):
            raise ConfigError(
                "{key}: {nearest} cannot be written to; choose another {key}, or change its "
                "permissions.",
                key=key,
                nearest=nearest,
            )


def check_models(config: Config) -> None:
    """Raise a MedEmbedError with the key of a model that is not there, or not whole.

    A model on an object store, or in the registry of a cluster, is seen when its job fetches it.
    """
    registry = getattr(config, "registry", None)
    for key, reference in list_models(config):
        folder = reference
        if reference.startswith("models:/") and isinstance(registry, RegistryConfig):
            if os.environ.get("RAY_ADDRESS"):
                continue
            folder = resolve_model(reference, registry, on_cluster=False)
        if storage.scheme(folder) in storage.REMOTE:
            continue
        try:
            fetch_model(folder)
        except ModelError as error:
            named = "" if folder == reference else f"{reference}: "
            fault = str(error).removeprefix(tr("model "))
            raise ModelError("{key}: {fault}", key=key, fault=f"{named}{fault}") from None


def check_room(
    encoding: EncodingConfig | None = None, training: TrainingConfig | None = None
) -> None:
    """Raise ConfigError if this machine's own Ray lacks the CPUs or GPUs of the workers.

    They would wait for ever. Encoding needs room for one worker, training for its fewest. A cluster
    may grow, and is not asked.
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
            "{name}: {workers} workers with {cpus:g} CPUs and {gpus:g} GPUs each, but this "
            "machine has room for {all_cpus:g} CPUs and {all_gpus:g} GPUs; lower {name}.workers or "
            "what each takes, or set RAY_ADDRESS to a cluster that has them.",
            name=name,
            workers=workers,
            cpus=cpus,
            gpus=gpus,
            all_cpus=have.get("CPU", 0),
            all_gpus=have.get("GPU", 0),
        )
