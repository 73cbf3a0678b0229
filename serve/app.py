"""The Serve application: `serve run serve.app:build model=...` tries a model out.

A POST to /v1/embeddings passes these files, in this order:

    http/front.py         logs it, and admits it: key (http/keys.py), Host, size, places, time
    http/embeddings.py    reads the body, makes a call of it, and an answer of the result
    http/route.py         what all routes share: parse a body, ask a replica, explain an error
    replica/replicas.py   holds the model, and puts calls that come together into one batch
    replica/compute.py    checks and tokenises the call, computes it in parts, converts the rows
    replica/protocol.py   the call, its result, and what a model refuses

replica/metrics.py counts each batch.
"""

from typing import TYPE_CHECKING, Any, cast

from medembed.encoding.config import EncodingConfig
from medembed.privacy import silence_telemetry
from serve.config import ServeConfig, read_arguments
from serve.http.keys import ValidKeys, read_keys
from serve.operate.haproxy import check_ingress
from serve.operate.safety import check_origins, check_ray, check_serve_host
from serve.operate.scaling import batch_tokens_on, replica_options
from serve.replica.rerank import RankerSettings, describe_ranker
from serve.resolve import resolve, resolve_ranker

if TYPE_CHECKING:
    from ray.serve import Application, Deployment


def build(args: dict[str, Any]) -> "Application":
    """Return the application for these arguments (see ServeConfig).

    Raises a MedEmbedError of one line before it starts.
    """
    silence_telemetry()
    # Ray is imported here, as a job's config needs none of it.
    from serve.http.api import HttpSettings
    from serve.replica.replicas import Embedder

    config = read_arguments(args)
    check_ingress(config.ingress)
    keys = check_safety(config)
    settings = resolve(config)
    ranker = resolve_ranker(config)
    encoding = config.encoding.model_dump()
    options = replica_options(config, config.autoscaling, settings.model_dump(mode="json"))
    http = HttpSettings(config, keys, describe_ranker(ranker) if ranker else None)
    reranker = _bind_reranker(config, ranker) if ranker else None
    embedder = _of(Embedder).options(**options)
    return embedder.bind(encoding, config.tokens_at_once, http, reranker)


def check_safety(config: ServeConfig) -> ValidKeys:
    """Return the API keys. Raises ConfigError for what would let strangers in."""
    check_ray(config.without_token)
    keys = read_keys(config.keys)
    check_serve_host(keys.are_required, config.without_keys)
    check_origins(config.cors, keys.are_required)
    return keys


def _bind_reranker(config: ServeConfig, settings: RankerSettings) -> "Application":
    """Return the deployment that holds the cross-encoder."""
    from serve.replica.replicas import Reranker

    own = config.rerank
    encoding = EncodingConfig(
        cpus_per_worker=own.cpus_per_replica, gpus_per_worker=own.gpus_per_replica
    )
    options = replica_options(own, config.autoscaling, settings.model_dump(mode="json"))
    waiting = config.limits.max_queued_requests
    reranker = _of(Reranker).options(**options, max_queued_requests=waiting)
    return reranker.bind(
        encoding.model_dump(), batch_tokens_on(own.gpus_per_replica), config.access_log
    )


def _of(deployment: Any) -> "Deployment":
    """Return what Serve's decorators have made of a class, which its type does not tell."""
    return cast("Deployment", deployment)
