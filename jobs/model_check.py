"""Looks at the models that a config names before Ray starts, so that a damaged one costs a
second.
"""

import os

from medembed import storage
from medembed.config import Config
from medembed.encoding.model_files import fetch_model
from medembed.errors import ModelError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.uris import list_models


def check_models(config: Config) -> None:
    """Raises a MedEmbedError that names the key of a model that is not there, or not whole.

    A model on an object store is looked at when its job fetches it; so is one in the registry of a
    cluster.
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
            raise ModelError(f"{key}: {named}{str(error).removeprefix('model ')}") from None
