"""The Serve application: `serve run serve.app:build model=...` to try a model out,
serve/config.yaml to operate.

`build` resolves models:/ names in the process that deploys, so that replicas need storage alone.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from pydantic import Field

from medembed import storage
from medembed.config import Config, InputUri, from_values
from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import fetch_cross_encoder
from medembed.encoding.model_files import model_fingerprint, model_width, read_card
from medembed.encoding.modules import fetch_encoder
from medembed.encoding.open_table import open_table_of
from medembed.errors import ConfigError
from medembed.matryoshka import check_trained
from medembed.privacy import silence_telemetry
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Version, open_registry
from serve.http.cors import check_origins
from serve.http.keys import KeysConfig, ValidKeys, read_keys
from serve.http.limits import LimitsConfig
from serve.http.settings import Front
from serve.logs import Target
from serve.operate.cluster_token import check_ray
from serve.operate.haproxy import Ingress, is_behind_haproxy
from serve.operate.host import check_serve
from serve.operate.scaling import (
    AutoscalingConfig,
    ReplicaCount,
    batch_tokens_on,
    most_replicas,
    replica_options,
)
from serve.replica.extra_models import Entry
from serve.replica.facts import read_training
from serve.replica.rerank import RerankConfig, describe_ranker
from serve.replica.table import SearchConfig, check_search, find_documents

if TYPE_CHECKING:
    from ray.serve import Application


class ServeConfig(Config):
    """Arguments of `build`."""

    model: str = Field(
        default="models:/medembed@champion",
        description="models:/name@alias, a folder, s3://, gs://, package://",
    )
    name: str = Field(default="medembed", description="model name that clients send")
    tracking_uri: str | None = Field(
        default=None, description="MLflow server; null: MLFLOW_TRACKING_URI, else ./workspace"
    )
    table: InputUri | None = Field(
        default=None,
        description="embedding table of this model, or the folder that keeps one for each "
        "encoder: POST /v1/search searches it; one stored as int8 gives int8 and uint8 outputs",
    )
    search: SearchConfig = SearchConfig()
    page: bool = Field(
        default=True,
        description="a page at / to try the model and its search out; needs no key itself",
    )
    examples: tuple[str, ...] = Field(
        default=(),
        description="questions that the page offers when it opens, which need no key; none: "
        "three general ones. Give such as the table answers, never a patient's text",
    )
    limits: LimitsConfig = LimitsConfig()
    keys: KeysConfig = KeysConfig()
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="domains by which callers may name a server without keys, e.g. "
        "[embed.example.org]; addresses, and names without a dot, always may: no web page "
        "elsewhere can take one of these",
    )
    cors: tuple[str, ...] = Field(
        default=(),
        description="origins of web pages elsewhere that may ask, e.g. "
        '[https://app.example.org]; ["*"] for all, only '
        "with keys",
    )
    access_log: Target = Field(
        default="stderr",
        description="a JSON line for each request on standard error or standard output, or none; "
        "never a text or a key. Of `medembed serve`, elsewhere of each replica; warnings and "
        "errors go the same way",
    )
    ingress: Ingress = Field(
        default="auto",
        description="haproxy: HAProxy, and the API in each replica, on a Ray that was started "
        "for it; serve: Serve's own proxy, and an API beside the replicas, several times slower, "
        "on any Ray; auto: haproxy where it can be",
    )
    without_token: bool = Field(
        default=False,
        description="serve on a Ray cluster that asks for no token, where whoever reaches Ray's "
        "ports runs code",
    )
    without_keys: bool = Field(
        default=False,
        description="listen to other machines without keys: whoever reaches the port may ask, as "
        "behind a gateway that knows its callers",
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        default="auto", description="what computes on CPUs; auto: whichever is faster there"
    )
    dimensions: tuple[int, ...] = Field(
        default=(),
        description="dimensions that clients rely on: no start, and no promotion, of a model not "
        "trained for them",
    )
    models: dict[str, str] = Field(
        default={},
        description="models beside the main one, {name that clients send: models:/..., a folder, "
        "...}; no table",
    )
    rerank: RerankConfig = RerankConfig()
    models_per_replica: int = Field(
        default=2,
        ge=1,
        description="of these, how many a replica holds; the least recently used makes room",
    )
    replicas: ReplicaCount = Field(
        default=1,
        description="replicas that hold the model, or [fewest,most] by load; fewest may be 0",
    )
    autoscaling: AutoscalingConfig = AutoscalingConfig()
    cpus_per_replica: int = Field(default=1, ge=1, description="CPU cores and threads of one")
    batch_tokens: int | None = Field(
        default=None,
        ge=64,
        description="tokens of a batch that requests share; a request waits for one such batch "
        "at most before its own turn. null: 2,048 on CPUs, 16,384 on a GPU",
    )
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs of one")

    @property
    def tokens_at_once(self) -> int:
        """`batch_tokens`, or what fits the device."""
        return self.batch_tokens or batch_tokens_on(self.gpus_per_replica)


def build(args: dict[str, Any]) -> "Application":
    """The application for these arguments (see ServeConfig). Raises a MedEmbedError of one line
    before it starts.
    """
    silence_telemetry()
    from serve.http.api import Api  # Ray is imported only here: a job's config needs none of it
    from serve.replica.combined_replica import Whole
    from serve.replica.embedder import Embedder
    from serve.replica.model_holder import ONGOING

    config = read_arguments(args)
    check_ray(config.without_token)
    keys = read_keys(config.keys)
    has_keys = keys != ValidKeys()
    check_serve(has_keys, config.without_keys)
    check_origins(config.cors, has_keys)
    user_config = resolve(config)
    ranker = resolve_ranker(config)
    encoding = EncodingConfig(
        cpus_per_worker=config.cpus_per_replica,
        gpus_per_worker=config.gpus_per_replica,
        backend=config.backend,
    )
    # as Serve's decorators made them
    embedder, api, whole = (cast(Any, each) for each in (Embedder, Api, Whole))
    replicas = replica_options(config, config.autoscaling, user_config)
    model = (encoding.model_dump(), config.tokens_at_once, config.models_per_replica)
    front = Front(
        limits=config.limits,
        keys=keys,
        hosts=config.allowed_hosts,
        has_page=config.page,
        examples=config.examples,
        log=config.access_log,
        extras=tuple(config.models),
        origins=config.cors,
        ranker=describe_ranker(ranker) if ranker else None,
        without_keys=config.without_keys,
    )
    reranker = _bind_reranker(config, ranker) if ranker else None
    if is_behind_haproxy(config.ingress):
        return cast("Application", whole.options(**replicas).bind(*model, front, reranker))
    held = embedder.options(**replicas, max_queued_requests=config.limits.max_queued_requests).bind(
        *model, config.access_log
    )
    # What replicas have in hand and what may wait for them: the API takes no more, and refuses the
    # rest unread.
    most = config.limits.max_queued_requests + ONGOING * most_replicas(config.replicas)
    return cast(
        "Application",
        api.options(ray_actor_options={"num_cpus": 0}).bind(held, front, most, reranker),
    )


def _bind_reranker(config: ServeConfig, user_config: dict[str, Any]) -> Any:
    """The deployment that holds the cross-encoder."""
    from serve.replica.reranker import Reranker

    own = config.rerank
    encoding = EncodingConfig(
        cpus_per_worker=own.cpus_per_replica, gpus_per_worker=own.gpus_per_replica
    )
    options = replica_options(own, config.autoscaling, user_config)
    waiting = config.limits.max_queued_requests
    reranker = cast(Any, Reranker).options(**options, max_queued_requests=waiting)
    return reranker.bind(
        encoding.model_dump(), batch_tokens_on(own.gpus_per_replica), config.access_log
    )


def resolve(config: ServeConfig) -> dict[str, Any]:
    """The Embedder's `user_config`. Raises a MedEmbedError, on one line, for what cannot be
    served.
    """
    main = resolve_main(config, locate(config.model, config))
    if not config.models:
        return main
    if config.name in config.models:
        raise ConfigError(f"models.{config.name}: is the main model's name; give it another.")
    extras = {name: resolve_extra(locate(model, config)) for name, model in config.models.items()}
    return main | {"models": extras}


def resolve_ranker(config: ServeConfig) -> dict[str, Any] | None:
    """The Reranker's `user_config`; None where there is no cross-encoder. Raises a MedEmbedError,
    as `resolve` does.
    """
    if config.rerank.model is None:
        return None
    name = config.rerank.name
    if name in (config.name, *config.models):
        raise ConfigError(f"rerank.name: {name} is another model's name; give it another.")
    model, version, _ = locate(config.rerank.model, config)
    fingerprint = model_fingerprint(fetch_cross_encoder(model))
    return {"model": model, "version": version, "name": name, "fingerprint": fingerprint}


class Located(NamedTuple):
    """A model's folder, its version, and the data set that its lineage names, if any."""

    model: str
    version: str
    dataset: str | None = None

    @classmethod
    def of(cls, version: Version) -> "Located":
        return cls(
            version.source,
            version.version,
            version.lineage.dataset.uri if version.lineage.dataset else None,
        )


def locate(model: str, config: ServeConfig) -> Located:
    """Where a model by reference is. Raises ServiceError for one that is not in the registry."""
    if not model.startswith("models:/"):
        return Located(storage.absolute(model), "unregistered")
    registry = open_registry(
        RegistryConfig(tracking_uri=config.tracking_uri), on_cluster="RAY_ADDRESS" in os.environ
    )
    return Located.of(registry.resolve(model))


def resolve_main(config: ServeConfig, located: Located) -> dict[str, Any]:
    """Of the `user_config` the part of the main model: where it is, what it is called, and its
    table.
    """
    model, version, dataset = located
    folder = fetch_encoder(model)
    width = model_width(folder) or max(config.dimensions, default=0)
    check_trained(config.dimensions, read_card(folder).dimensions, width)
    return {
        "model": model,
        "version": version,
        "name": config.name,
        "training": read_training(folder),
        **pin_table(config, folder, dataset),
    }


def resolve_extra(located: Located) -> Entry:
    """Of the `user_config` the part of a model beside the main one."""
    model, version, _ = located
    folder = fetch_encoder(model)
    dimensions = list(read_card(folder).dimensions)
    return {
        "model": model,
        "version": version,
        "fingerprint": model_fingerprint(folder),
        "width": model_width(folder),
        "dimensions": dimensions,
        "training": read_training(folder),
    }


def pin_table(config: ServeConfig, folder: Path, dataset: str | None = None) -> dict[str, Any]:
    """Of the Embedder's `user_config` the table of the model in this folder: a version, so that all
    replicas have one.

    `search.documents` names the data set of the first champion; of those after it the lineage names
    theirs, `dataset`. Raises StorageError or ConfigError for a table that is not there, not this
    model's, or cannot be searched so.
    """
    if config.table is None:
        return {"table": None}
    table = open_table_of(storage.absolute(config.table), model_fingerprint(folder))
    search = config.search
    if search.documents is not None:
        search = search.model_copy(
            update={"documents": find_documents(table, search.documents, dataset)}
        )
    if search.enabled:
        check_search(table, search)
    return {
        "table": table.uri,
        "table_version": table.version,
        "search": search.model_dump(mode="json"),
    }


def read_arguments(arguments: Mapping[str, Any]) -> ServeConfig:
    """The config of `build`'s arguments: texts under dotted keys of `serve run`, or a YAML file's
    values, nested.

    Raises ConfigError.
    """
    return from_values(ServeConfig, arguments)
