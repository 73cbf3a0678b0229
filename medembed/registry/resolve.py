"""Turn references to models in a config into places that any node can load."""

from typing import TypeVar

from medembed.config import Config
from medembed.registry.config import RegistryConfig
from medembed.registry.models import resolve_model
from medembed.uris import map_models

SomeConfig = TypeVar("SomeConfig", bound=Config)


def resolve_models(config: SomeConfig, registry: RegistryConfig, *, on_cluster: bool) -> SomeConfig:
    """Return the config with every model that it names where any node can load it."""
    return map_models(
        config, lambda reference: resolve_model(reference, registry, on_cluster=on_cluster)
    )
