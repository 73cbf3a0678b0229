"""A checkpoint -> a registered version with its run, parameters, metrics and lineage."""

import json
from collections.abc import Mapping
from typing import Any

from medembed.config import Config, to_yaml
from medembed.data.dataset import Dataset
from medembed.mining.examples import Examples
from medembed.registry.models import Registry, Version
from medembed.training.card import HISTORY
from medembed.training.checkpoint import Checkpoint
from medembed.training.curves import CURVES


def register_checkpoint(
    registry: Registry,
    checkpoint: Checkpoint,
    config: Config,
    *,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    artifacts: Mapping[str, str | bytes],
) -> tuple[Version, bool]:
    """(its version, whether it is new); `metrics` join the dev scores, `tags` the lineage."""
    manifest = checkpoint.manifest
    lineage = {
        "dataset": manifest["dataset"],
        "examples": manifest["examples"] or "none",
        "parent": manifest["parent"]["fingerprint"],
        "encoder": checkpoint.fingerprint,
    }
    tags = lineage | dict(tags)
    existing = registry.find(checkpoint.uri, tags)
    if existing is not None:
        return existing, False
    scores = {**metrics, **{f"dev_{name}": float(value) for name, value in manifest["dev"].items()}}
    version = registry.register(
        checkpoint.uri,
        params=_flatten(manifest["config"]),
        metrics=scores,
        tags=tags,
        artifacts={**checkpoint.read(CURVES, HISTORY), **artifacts, "config.yaml": to_yaml(config)},
        history=_steps_of(checkpoint),
    )
    return version, True


def tag_data(dataset: Dataset, examples: Examples | None) -> dict[str, str]:
    """Tags that say where a model's data lies, beside the fingerprints that say what it is."""
    return {"dataset_uri": dataset.uri, "examples_uri": examples.uri if examples else "none"}


def _steps_of(checkpoint: Checkpoint) -> list[tuple[str, int, float]]:
    """(metric, step, value) of all that training logged."""
    logged = json.loads(checkpoint.read(HISTORY).get(HISTORY, b"[]"))
    return [
        (f"train_{name}", int(entry["step"]), value)
        for entry in logged
        for name, value in entry.items()
        if name != "step"
    ]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
