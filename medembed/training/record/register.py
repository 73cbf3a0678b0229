"""Register a checkpoint as a version with its run, parameters, metrics and lineage."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medembed.config import Config, to_yaml
from medembed.lineage import Source
from medembed.registry.catalog import find_version
from medembed.registry.models import Registry, Version
from medembed.tags import Lineage
from medembed.training.record.card import HISTORY
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.curves import CURVES


def register_checkpoint(
    registry: Registry,
    checkpoint: Checkpoint,
    config: Config,
    *,
    metrics: Mapping[str, float],
    lineage: Lineage,
    artifacts: Mapping[str, str | bytes],
) -> tuple[Version, bool]:
    """Return the checkpoint's version, and whether it is new.

    `metrics` join the dev scores, what its manifest says joins the lineage.
    """
    manifest = checkpoint.manifest
    # Models by their fingerprints alone: the checkpoint's manifest says where they lie.
    parent = _without_uri(manifest.origin.parent)
    teacher = _without_uri(manifest.origin.teacher)
    lineage = replace(lineage, encoder=checkpoint.fingerprint, parent=parent, teacher=teacher)
    existing = find_version(registry, checkpoint.uri, lineage)
    if existing is not None:
        return existing, False
    scores = {**metrics, **{f"dev_{name}": float(value) for name, value in manifest.dev.items()}}
    version = registry.register(
        checkpoint.uri,
        params=_flatten(manifest.config),
        metrics=scores,
        lineage=lineage,
        artifacts={**checkpoint.read(CURVES, HISTORY), **artifacts, "config.yaml": to_yaml(config)},
        history=_steps_of(checkpoint),
    )
    return version, True


def _without_uri(model: Source | None) -> Source | None:
    return replace(model, uri=None) if model else None


def _steps_of(checkpoint: Checkpoint) -> list[tuple[str, int, float]]:
    """Return (metric, step, value) of all that training logged."""
    values = []
    for entry in json.loads(checkpoint.read(HISTORY).get(HISTORY, b"[]")):
        step = int(entry.pop("step"))
        values += [(f"train_{name}", step, value) for name, value in entry.items()]
    return values


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
