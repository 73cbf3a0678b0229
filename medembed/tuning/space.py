"""Describe what a search moves along: axes, and the settings at a point on them. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from medembed.mining.config import MiningConfig
from medembed.training.config import TrainingConfig

Kind = Literal["uniform", "log_uniform", "integer", "log_integer", "choice", "simplex"]
Point = dict[str, Any]  # {name of an axis: value}
WEIGHTS = "training.weights"


@dataclass(frozen=True)
class Axis:
    """One number or choice. Where a key has several, the name has the dimension too: weights/64.

    `values` are the bounds, both included, or the choices; `default` is trial 0's.
    """

    name: str
    kind: Kind
    values: tuple[Any, ...]
    default: Any

    @property
    def key(self) -> str:
        return self.name.partition("/")[0]

    def holds(self, value: Any) -> bool:
        """Return whether the axis has this value."""
        if self.kind == "choice":
            return value in self.values
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.values[0] <= value <= self.values[1]

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.values)
        low, high = self.values
        numbers = IntDistribution if "integer" in self.kind else FloatDistribution
        return numbers(low, high, log=self.kind.startswith("log"))


class Settings(NamedTuple):
    """How a trial trains, and how the negatives of its examples are mined."""

    training: TrainingConfig
    mining: MiningConfig


def list_distributions(axes: Sequence[Axis]) -> dict[str, Any]:
    """Return Optuna's distribution of each axis by its name."""
    return {axis.name: axis.distribution() for axis in axes}


def default_point(axes: Sequence[Axis]) -> Point:
    """Return trial 0's point."""
    return {axis.name: axis.default for axis in axes}


def settings(point: Point, training: TrainingConfig, mining: MiningConfig) -> Settings:
    """Return the configs at a point. Raises ValidationError for values that do not go together."""
    nested: dict[str, Any] = {"training": training.model_dump(), "mining": mining.model_dump()}
    weights: dict[str, float] = {}
    for name, value in point.items():
        key, _, dimension = name.partition("/")
        if dimension:
            weights[dimension] = value
            continue
        path, _, last = key.rpartition(".")
        look_up(nested, path)[last] = value
    if weights:
        nested["training"]["weights"] = _to_weights(weights, training.dimensions)
    return Settings(
        TrainingConfig.model_validate(nested["training"]),
        MiningConfig.model_validate(nested["mining"]),
    )


def _to_weights(given: Mapping[str, float], dimensions: Sequence[int]) -> tuple[float, ...]:
    """Return weights whose mean is 1: they change how dimensions share the loss, not its size.

    A share of the simplex is -log u of u in (0, 1), scaled: uniform over all that add up to 1
    (Devroye, Non-Uniform Random Variate Generation, 1986, chapter XI.4).
    """
    values: dict[int, float] = {}
    lowest = ""
    for name, value in given.items():
        dimension, _, lowest = name.partition("/")
        values[int(dimension)] = value
    weights = [values[dimension] for dimension in dimensions]
    if lowest:
        low = float(lowest)
        parts = [-math.log(value) for value in weights]
        weights = [low + (1 - len(parts) * low) * part / sum(parts) for part in parts]
    mean = sum(weights) / len(weights)
    return tuple(weight / mean for weight in weights)


def look_up(values: Any, key: str) -> Any:
    """Return what stands under a dotted key."""
    for step in key.split("."):
        values = values[step]
    return values
