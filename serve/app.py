"""The Serve application: `serve run serve.app:build model=...` tries a model out."""

from typing import TYPE_CHECKING, Any, cast

from medembed.encoding.config import EncodingConfig
from medembed.privacy import silence_telemetry
from serve.config import ServeConfig, read_arguments
from serve.http.cors import check_origins
from serve.http.keys import ValidKeys, read_keys
from serve.http.settings import HttpSettings
from serve.operate.cluster_token import check_ray
from serve.operate.haproxy import is_behind_haproxy
from serve.operate.host import check_serve_host
from serve.operate.scaling import batch_tokens_on, most_replicas, replica_options
from serve.replica.rerank import RankerSettings, describe_ranker
from serve.resolve import resolve, resolve_ranker

if TYPE_CHECKING:
    from ray.serve import Application


def build(args: dict[str, Any]) -> "Application":
    """Return the application for these arguments (see ServeConfig).

    Raises a MedEmbedError of one line before it starts.
    """
    silence_telemetry()
    config = read_arguments(args)
    keys = check_safety(config)
    settings = resolve(config)
    ranker = resolve_ranker(config)
    encoding = EncodingConfig(
        cpus_per_worker=config.cpus_per_replica,
        gpus_per_worker=config.gpus_per_replica,
        backend=config.backend,
    ).model_dump()
    options = replica_options(config, config.autoscaling, settings.model_dump(mode="json"))
    http = HttpSettings(
        limits=config.limits,
        keys=keys,
        hosts=config.allowed_hosts,
        has_page=config.page,
        examples=config.examples,
        log=config.access_log,
        origins=config.cors,
        ranker=describe_ranker(ranker) if ranker else None,
        without_keys=config.without_keys,
    )
    reranker = _bind_reranker(config, ranker) if ranker else None
    if is_behind_haproxy(config.ingress):
        return _bind_combined(options, encoding, config.tokens_at_once, http, reranker)
    return _bind_apart(config, options, encoding, http, reranker)


def check_safety(config: ServeConfig) -> ValidKeys:
    """Return the API keys. Raises ConfigError for what would let strangers in."""
    check_ray(config.without_token)
    keys = read_keys(config.keys)
    check_serve_host(keys.are_required, config.without_keys)
    check_origins(config.cors, keys.are_required)
    return keys


# Ray is imported only in these functions, as a job's config needs none of it. Serve's decorators
# have made Deployments of the classes, which types do not tell.


def _bind_combined(
    options: dict[str, Any],
    encoding: dict[str, Any],
    tokens: int,
    http: HttpSettings,
    reranker: Any,
) -> "Application":
    """Return an application whose replicas have the API in them."""
    from serve.replica.combined_replica import CombinedReplica

    combined = cast(Any, CombinedReplica).options(**options)
    return cast("Application", combined.bind(encoding, tokens, http, reranker))


def _bind_apart(
    config: ServeConfig,
    options: dict[str, Any],
    encoding: dict[str, Any],
    http: HttpSettings,
    reranker: Any,
) -> "Application":
    """Return an application whose API stands beside the replicas."""
    from serve.http.api import Api
    from serve.replica.embedder import Embedder
    from serve.replica.model_holder import ONGOING

    waiting = config.limits.max_queued_requests
    embedder = cast(Any, Embedder).options(**options, max_queued_requests=waiting)
    bound = embedder.bind(encoding, config.tokens_at_once, config.access_log)
    # The API takes what replicas have in hand and what may wait for them, and refuses more unread.
    most = waiting + ONGOING * most_replicas(config.replicas)
    api = cast(Any, Api).options(ray_actor_options={"num_cpus": 0})
    return cast("Application", api.bind(bound, http, most, reranker))


def _bind_reranker(config: ServeConfig, settings: RankerSettings) -> Any:
    """Return the deployment that holds the cross-encoder."""
    from serve.replica.reranker import Reranker

    own = config.rerank
    encoding = EncodingConfig(
        cpus_per_worker=own.cpus_per_replica, gpus_per_worker=own.gpus_per_replica
    )
    options = replica_options(own, config.autoscaling, settings.model_dump(mode="json"))
    waiting = config.limits.max_queued_requests
    reranker = cast(Any, Reranker).options(**options, max_queued_requests=waiting)
    return reranker.bind(
        encoding.model_dump(), batch_tokens_on(own.gpus_per_replica), config.access_log
    )
