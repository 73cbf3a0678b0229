"""Resolve a config's models and table to what replicas load: folders and versions on storage.

This is done in the process that deploys, so that replicas need no registry.
"""

import os
from typing import NamedTuple

from medembed import storage
from medembed.encoding.cross_encoder import fetch_cross_encoder
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.model_files import model_fingerprint, model_width, read_card
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.open_table import open_table_of
from medembed.encoding.prompt_check import check_prompts
from medembed.errors import ConfigError
from medembed.matryoshka import check_trained
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Version, open_registry
from serve.config import ServeConfig
from serve.replica.rerank import RankerSettings
from serve.replica.served_model import ModelSettings, read_training
from serve.replica.table import check_search, find_documents


class LocatedModel(NamedTuple):
    """A model's folder, its version, and the data set that its lineage names, if any."""

    folder: str
    version: str
    dataset: str | None = None

    @classmethod
    def of(cls, version: Version) -> "LocatedModel":
        dataset = version.lineage.dataset
        return cls(version.source, version.version, dataset.uri if dataset else None)


def locate(model: str, config: ServeConfig) -> LocatedModel:
    """Return where a model is. Raises ServiceError for one that is not in the registry."""
    if not model.startswith("models:/"):
        return LocatedModel(storage.absolute(model), "unregistered")
    registry = open_registry(
        RegistryConfig(tracking_uri=config.tracking_uri), on_cluster="RAY_ADDRESS" in os.environ
    )
    return LocatedModel.of(registry.resolve(model))


def resolve(config: ServeConfig) -> ModelSettings:
    """Return the settings of the Embedder. Raises a MedEmbedError for what cannot be served."""
    return resolve_located(config, locate(config.model, config))


def resolve_located(config: ServeConfig, located: LocatedModel) -> ModelSettings:
    """Return the settings of the Embedder for a model that was located."""
    folder = fetch_encoder(located.folder)
    check_prompts(located.folder)
    encoder = encoder_fingerprint(folder, config.encoding)
    width = model_width(folder) or max(config.dimensions, default=0)
    check_trained(config.dimensions, read_card(folder).dimensions, width)
    settings = ModelSettings(
        model=located.folder,
        version=located.version,
        name=config.name,
        training=read_training(folder),
    )
    return _pin_table(settings, config, encoder, located.dataset)


def resolve_ranker(config: ServeConfig) -> RankerSettings | None:
    """Return the settings of the Reranker; None without a cross-encoder. Raises as `resolve`."""
    if config.rerank.model is None:
        return None
    name = config.rerank.name
    if name == config.name:
        raise ConfigError(
            "rerank.name: {name} is the other model's name; give it another.", name=name
        )
    located = locate(config.rerank.model, config)
    return RankerSettings(
        model=located.folder,
        version=located.version,
        name=name,
        fingerprint=model_fingerprint(fetch_cross_encoder(located.folder)),
    )


def _pin_table(
    settings: ModelSettings, config: ServeConfig, encoder: str, dataset: str | None
) -> ModelSettings:
    """Return the settings with the table's version of now, so that all replicas serve the same one.

    `search.documents` names the data set of the first champion; the lineage of those after it names
    theirs, `dataset`. Raises StorageError or ConfigError for a table that is not there, not this
    model's, or cannot be searched so.
    """
    if config.table is None:
        return settings
    table = open_table_of(storage.absolute(config.table), encoder)
    search = config.search
    if search.documents is not None:
        documents = find_documents(table, search.documents, dataset)
        search = search.model_copy(update={"documents": documents})
    if search.enabled:
        check_search(table, search)
    pinned = {"table": table.uri, "table_version": table.version, "search": search}
    return settings.model_copy(update=pinned)
