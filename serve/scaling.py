"""How many replicas hold the model: a number, or bounds between which load decides."""

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from medembed.config import Config
from medembed.errors import ConfigError

Replicas = int | tuple[int, int]


def _check_replicas(value: object) -> Replicas:
    bounds = list(value) if isinstance(value, list | tuple) else [value]
    numbers = [int(bound) if isinstance(bound, str) and bound.isdecimal() else bound for bound in bounds]
    counts = [count for count in numbers if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    if len(counts) < len(bounds) or len(counts) not in (1, 2) or counts != sorted(counts) or counts[-1] < 1:
        raise ValueError("expected a number from 1, or two of them, [fewest,most], of which fewest may be 0")
    return counts[0] if len(set(counts)) == 1 else (counts[0], counts[1])


ReplicaCount = Annotated[Replicas, BeforeValidator(_check_replicas)]  # as a config key


class AutoscalingConfig(Config):
    """When replicas are added and taken away; for `replicas=[fewest,most]`."""

    target_requests: float = Field(
        default=8, gt=0, description="requests in work or waiting for each replica; more add replicas"
    )
    look_back_s: float = Field(default=10, gt=0, description="seconds over which these are averaged")
    upscale_delay_s: float = Field(
        default=5, ge=0, description="seconds that load lasts before replicas are added; the first comes at once"
    )
    downscale_delay_s: float = Field(
        default=300, ge=0, description="seconds of less load before one is taken away: a model takes seconds to load"
    )


def check_room(replicas: Replicas, cpus: int) -> None:
    """Raises ConfigError if this machine has not the cores for the fewest replicas: they would wait for ever."""
    fewest, cores = replicas if isinstance(replicas, int) else replicas[0], os.cpu_count() or 1
    if fewest * cpus > cores:
        raise ConfigError(
            f"replicas: {fewest} of {cpus} CPU cores each (cpus_per_replica), but this machine has {cores}; take fewer."
        )


def most_replicas(replicas: Replicas) -> int:
    """How many there may be at once."""
    return replicas if isinstance(replicas, int) else replicas[1]


def scale_options(replicas: Replicas, config: AutoscalingConfig) -> dict[str, Any]:
    """Options of a Serve deployment with so many replicas."""
    if isinstance(replicas, int):
        return {"num_replicas": replicas}
    fewest, most = replicas
    return {
        "autoscaling_config": {
            "min_replicas": fewest,
            "max_replicas": most,
            "target_ongoing_requests": config.target_requests,
            "look_back_period_s": config.look_back_s,
            "upscale_delay_s": config.upscale_delay_s,
            "downscale_delay_s": config.downscale_delay_s,
        }
    }
