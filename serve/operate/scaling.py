"""Say how many replicas hold a model: a number, or bounds between which load decides."""

import os
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, Field

from medembed.config import Config
from medembed.errors import ConfigError
from medembed.language import tr
from serve.logs import is_piped

# A core reads some thousand tokens a second: a batch should be over before a person notices.
_TOKENS_ON_CPU = 2048
_TOKENS_ON_GPU = 16_384
Replicas = int | tuple[int, int]


def _check_replicas(value: object) -> Replicas:
    bounds = value if isinstance(value, list | tuple) else [value]
    counts = [int(str(bound)) for bound in bounds if str(bound).isdecimal()]
    is_whole = len(counts) == len(bounds) in (1, 2)
    if not is_whole or counts != sorted(counts) or counts[-1] < 1:
        raise ValueError(
            tr("expected a number from 1, or two of them, [fewest,most], of which fewest may be 0")
        )
    return counts[0] if counts[0] == counts[-1] else (counts[0], counts[1])


ReplicaCount = Annotated[Replicas, BeforeValidator(_check_replicas)]  # as a config key


class AutoscalingConfig(Config):
    """When replicas are added and taken away; for `replicas=[fewest,most]`."""

    target_requests: float = Field(
        default=8,
        gt=0,
        description="requests in work or waiting for each replica; more add replicas",
    )
    look_back_s: float = Field(
        default=10, gt=0, description="seconds over which these are averaged"
    )
    upscale_delay_s: float = Field(
        default=5,
        ge=0,
        description="seconds that load lasts before replicas are added; the first comes at once",
    )
    downscale_delay_s: float = Field(
        default=300,
        ge=0,
        description="seconds of less load before one is taken away: a model takes seconds to load",
    )


class Replicated(Protocol):
    """A config of replicas."""

    @property
    def replicas(self) -> Replicas: ...

    @property
    def cpus_per_replica(self) -> int: ...

    @property
    def gpus_per_replica(self) -> float: ...


def check_room(config: Replicated, rerank: Replicated | None = None) -> None:
    """Raise ConfigError if this machine has too few cores: replicas would wait for ever."""
    cores = os.cpu_count() or 1
    needed = _fewest_cores(config)
    ranking = _fewest_cores(rerank) if rerank else 0
    if needed + ranking > cores:
        also = tr(", and {ranking} for rerank.replicas", ranking=ranking) if ranking else ""
        raise ConfigError(
            "replicas: need {needed} CPU cores (replicas x cpus_per_replica){also}, but this "
            "machine has {cores}; take fewer.",
            needed=needed,
            also=also,
            cores=cores,
        )


def _fewest_cores(config: Replicated) -> int:
    fewest = config.replicas if isinstance(config.replicas, int) else config.replicas[0]
    return fewest * config.cpus_per_replica


def batch_tokens_on(gpus: float) -> int:
    """Return the tokens of a batch that requests share, unless the operator says otherwise."""
    return _TOKENS_ON_GPU if gpus else _TOKENS_ON_CPU


def replica_options(
    config: Replicated, autoscaling: AutoscalingConfig, user_config: dict[str, Any]
) -> dict[str, Any]:
    """Return options of a Serve deployment of this many replicas, on these resources."""
    options: dict[str, Any] = {
        "user_config": user_config,
        "ray_actor_options": {
            "num_cpus": config.cpus_per_replica,
            "num_gpus": config.gpus_per_replica,
        },
    }
    if isinstance(config.replicas, int):
        options["num_replicas"] = config.replicas
    else:
        fewest, most = config.replicas
        options["autoscaling_config"] = {
            "min_replicas": fewest,
            "max_replicas": most,
            "target_ongoing_requests": autoscaling.target_requests,
            "look_back_period_s": autoscaling.look_back_s,
            "upscale_delay_s": autoscaling.upscale_delay_s,
            "downscale_delay_s": autoscaling.downscale_delay_s,
        }
    # The Ray of a `medembed serve` has no other node, on which a load that failed might succeed.
    if is_piped():
        options["max_constructor_retry_count"] = 1
    return options
