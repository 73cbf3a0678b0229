"""Turn searched keys into axes, and a point on them into settings. Pure."""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

from pydantic import ValidationError

from medembed.config import list_keys
from medembed.mining.config import MiningConfig
from medembed.training.config import TrainingConfig

Kind = Literal["uniform", "log_uniform", "integer", "log_integer", "choice", "simplex"]
Point = dict[str, Any]  # {name of an axis: value}
KINDS: tuple[str, ...] = get_args(Kind)
WEIGHTS = "training.weights"
# cut from one pool; other keys of mining would have to be mined anew
CUT = ("mining.negatives", "mining.margin")
# What trials are compared by, or computed with: another value would make another comparison, not
# another model.
_FIXED = (
    "training.dimensions",
    "training.epochs",
    "training.preset",
    "training.checkpoint_steps",
    "training.select_by",
    "training.select_dimension",
    "training.dev_queries",
    "training.dev_documents",
    "training.dev_tag",
    "training.patience",
    "training.workers",
    "training.cpus_per_worker",
    "training.use_gpu",
    "training.max_failures",
    "training.report_to",
)
# of the way between two bounds: no whole number, which a key of whole numbers would be refused
_INSIDE = 0.381966
_EDGE = 1e-3  # of the unit interval that becomes a share


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


def read_axes(
    search: Mapping[str, Mapping[str, Any]], training: TrainingConfig, mining: MiningConfig
) -> tuple[Axis, ...]:
    """Return the axes of `search`, {key: {kind: values}}; their defaults are these configs' values.

    Raises ValueError for a key that does not exist or is not searched, for values that it cannot
    have, and for a search without trial 0.
    """
    if not search:
        raise ValueError(
            "search: empty; name a key to search, such as training.learning_rate: "
            "{log_uniform: [1e-6, 1e-4]}"
        )
    known = [key.name for key in list_keys(TrainingConfig, "training.")] + list(CUT)
    axes: list[Axis] = []
    for key, spec in search.items():
        _check_key(key, known)
        if len(spec) != 1 or next(iter(spec)) not in KINDS:
            raise ValueError(
                f"search.{key}: found {sorted(spec)}, expected one of {', '.join(KINDS)}"
            )
        ((kind, values),) = spec.items()
        of_key = list(_make_axes(key, cast(Kind, kind), values, training, mining))
        for axis in of_key:
            if not axis.holds(axis.default):
                raise ValueError(
                    f"search.{axis.name}: trial 0 has {axis.default!r}, which {kind} "
                    f"{list(values)} leaves out; take it in, or set {key} to one of these"
                )
        axes += of_key
    defaults = default_point(axes)
    for axis in axes:
        tried = list(axis.values)
        if "uniform" in axis.kind:
            low, high = axis.values
            tried.append(low + _INSIDE * (high - low))
        for value in tried:
            _check_value(axis, value, defaults, training, mining)
    return tuple(axes)


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
        _look_up(nested, path)[last] = value
    if weights:
        nested["training"]["weights"] = _to_weights(weights, training.dimensions)
    return Settings(
        TrainingConfig.model_validate(nested["training"]),
        MiningConfig.model_validate(nested["mining"]),
    )


def _check_key(key: str, known: Sequence[str]) -> None:
    if key in _FIXED:
        raise ValueError(
            f"search.{key}: trials are compared or computed by it; set it instead of searching it"
        )
    if key not in known:
        searchable = [name for name in known if name not in _FIXED]
        nearest = difflib.get_close_matches(key, searchable, n=1, cutoff=0.0)
        note = ""
        if key.startswith("mining."):
            note = f" (of mining only {' and '.join(CUT)} can be searched)"
        raise ValueError(
            f"search.{key}: unknown key; the nearest that can be searched is {nearest[0]!r}{note}"
        )


def _make_axes(
    key: str, kind: Kind, values: Any, training: TrainingConfig, mining: MiningConfig
) -> Iterator[Axis]:
    given = tuple(values) if isinstance(values, list | tuple) else (values,)
    if key == WEIGHTS:
        yield from _weight_axes(kind, given, training)
        return
    if kind == "simplex":
        raise ValueError(f"search.{key}: simplex shares out weights; only {WEIGHTS} takes it")
    if kind == "choice":
        if not given or any(isinstance(value, list | dict) for value in given):
            raise ValueError(
                f"search.{key}: found choice {list(given)}, expected a list of numbers, names "
                "or null"
            )
    else:
        _check_bounds(key, kind, given)
    default = _look_up({"training": training.model_dump(), "mining": mining.model_dump()}, key)
    yield Axis(key, kind, given, default)


def _weight_axes(kind: str, values: tuple[Any, ...], training: TrainingConfig) -> Iterator[Axis]:
    dimensions = training.dimensions
    weights = training.weights or (1.0,) * len(dimensions)
    if kind == "log_uniform":
        _check_bounds(WEIGHTS, kind, values)
        for dimension, weight in zip(dimensions, weights, strict=True):
            yield Axis(f"{WEIGHTS}/{dimension}", "log_uniform", values, float(weight))
        return
    if kind != "simplex" or len(values) != 1 or not 0 <= values[0] * len(dimensions) < 1:
        raise ValueError(
            f"search.{WEIGHTS}: found {kind} {list(values)}, expected log_uniform: [lowest, "
            f"highest], or simplex: [the lowest share of a dimension, below 1/{len(dimensions)}]"
        )
    for dimension, weight in zip(dimensions, weights, strict=True):
        share = (weight / sum(weights) - values[0]) / (1 - len(dimensions) * values[0])
        yield Axis(
            f"{WEIGHTS}/{dimension}/{values[0]}",
            "uniform",
            (_EDGE, 1 - _EDGE),
            math.exp(-share * len(dimensions)),
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


def _check_bounds(key: str, kind: str, values: Sequence[Any]) -> None:
    number = int if "integer" in kind else (int, float)
    are_numbers = all(isinstance(value, number) and not isinstance(value, bool) for value in values)
    if len(values) != 2 or not are_numbers or values[0] >= values[1]:
        raise ValueError(
            f"search.{key}: found {kind} {list(values)}, expected [lowest, highest], two "
            "rising numbers"
        )
    if kind.startswith("log") and values[0] <= 0:
        raise ValueError(
            f"search.{key}: found {kind} from {values[0]}, expected a lowest value above 0"
        )


def _check_value(
    axis: Axis, value: Any, defaults: Point, training: TrainingConfig, mining: MiningConfig
) -> None:
    try:
        settings(defaults | {axis.name: value}, training, mining)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"search.{axis.name}: cannot be {value!r}: {fault['msg']}") from None


def _look_up(values: Any, key: str) -> Any:
    for step in key.split("."):
        values = values[step]
    return values
