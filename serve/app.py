"""The Serve application: `serve run serve.app:build model=...` to try a model out, serve/config.yaml to operate.

`build` resolves models:/ names in the process that deploys, so that replicas need storage alone.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field
from ray.serve import Application

from medembed import storage
from medembed.config import Config, InputUri, load_config
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import open_table_of
from medembed.privacy import silence_telemetry
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.api import Api
from serve.embedder import Embedder
from serve.guard import KeysConfig, LimitsConfig, read_keys
from serve.haproxy import check_haproxy
from serve.table import SearchConfig, check_search
from serve.whole import Whole

# A core reads some thousand tokens a second: a batch should be over in the time that a person does not notice.
_TOKENS_ON_CPU, _TOKENS_ON_GPU = 2048, 16_384


class ServeConfig(Config):
    """Arguments of `build`."""

    model: str = Field(
        default="models:/medembed@champion", description="models:/name@alias, a folder, s3://, gs://, package://"
    )
    name: str = Field(default="medembed", description="model name that clients send")
    tracking_uri: str | None = Field(
        default=None, description="MLflow server; null: MLFLOW_TRACKING_URI, else ./workspace"
    )
    table: InputUri | None = Field(
        default=None,
        description="embedding table of this model, or the folder that keeps one for each encoder: POST /v1/search "
        "searches it; one stored as int8 gives int8 and uint8 outputs",
    )
    search: SearchConfig = SearchConfig()
    page: bool = Field(default=True, description="a page at / to try the model and its search out; needs no key itself")
    limits: LimitsConfig = LimitsConfig()
    keys: KeysConfig = KeysConfig()
    access_log: bool = Field(
        default=True, description="a JSON line per request on the API's standard error; never a text or a key"
    )
    ingress: Literal["serve", "haproxy"] = Field(
        default="serve",
        description="serve: Serve's own proxy, and an API beside the replicas, on any Ray cluster; haproxy: HAProxy, "
        "and the API in each replica, several times as fast, on a Ray that was started for it",
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        default="auto", description="what computes on CPUs; auto: whichever is faster there"
    )
    replicas: int = Field(default=1, ge=1, description="replicas that hold the model")
    cpus_per_replica: int = Field(default=1, ge=1, description="CPU cores and threads of one")
    batch_tokens: int | None = Field(
        default=None,
        ge=64,
        description="tokens of a batch that requests share; a request waits for one such batch at most before its own "
        "turn. null: 2,048 on CPUs, 16,384 on a GPU",
    )
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs of one")

    @property
    def tokens_at_once(self) -> int:
        """`batch_tokens`, or what fits the device."""
        return self.batch_tokens or (_TOKENS_ON_GPU if self.gpus_per_replica else _TOKENS_ON_CPU)


def build(args: dict[str, Any]) -> Application:
    """The application for these arguments (see ServeConfig). Raises a MedEmbedError of one line before it starts."""
    silence_telemetry()
    config = load_config(ServeConfig, list(_overrides(args)))
    hashes = read_keys(config.keys)
    user_config = resolve(config)
    user_config |= pin_table(config, fetch_model(user_config["model"]))
    encoding = EncodingConfig(
        cpus_per_worker=config.cpus_per_replica, gpus_per_worker=config.gpus_per_replica, backend=config.backend
    )
    resources = {"num_cpus": config.cpus_per_replica, "num_gpus": config.gpus_per_replica}
    embedder, api, whole = (cast(Any, each) for each in (Embedder, Api, Whole))  # as Serve's decorators made them
    replicas = {"num_replicas": config.replicas, "ray_actor_options": resources, "user_config": user_config}
    model = (encoding.model_dump(), config.tokens_at_once)
    http = (config.limits.model_dump(), hashes, config.access_log, config.page)
    if config.ingress == "haproxy":
        check_haproxy()
        return cast(Application, whole.options(**replicas).bind(*model, *http))
    held = embedder.options(**replicas, max_queued_requests=config.limits.max_queued_requests).bind(*model)
    return cast(Application, api.options(ray_actor_options={"num_cpus": 0}).bind(held, *http))


def resolve(config: ServeConfig) -> dict[str, Any]:
    """Of the Embedder's `user_config` what is known of the model: where its folder is, and what it is called."""
    named = {"name": config.name}
    if not config.model.startswith("models:/"):
        return {"model": storage.absolute(config.model), "version": "unregistered", **named}
    registry = open_registry(RegistryConfig(tracking_uri=config.tracking_uri), on_cluster="RAY_ADDRESS" in os.environ)
    version = registry.resolve(config.model)
    return {"model": version.source, "version": version.version, **named}


def pin_table(config: ServeConfig, folder: Path) -> dict[str, Any]:
    """Of the Embedder's `user_config` the table of the model in this folder: a version, so that all replicas have one.

    Raises StorageError or ConfigError for a table that is not there, not this model's, or cannot be searched so.
    """
    if config.table is None:
        return {"table": None}
    table = open_table_of(storage.absolute(config.table), model_fingerprint(folder))
    search = config.search
    if search.enabled:
        check_search(table, search)
    if search.documents is not None:  # replicas have another working directory
        search = search.model_copy(update={"documents": storage.absolute(search.documents)})
    return {"table": table.uri, "table_version": table.version, "search": search.model_dump(mode="json")}


def _overrides(arguments: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`key=value` of each: `serve run` gives texts under dotted keys, a YAML file values, nested."""
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            yield from _overrides(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={'null' if value is None else value}"
