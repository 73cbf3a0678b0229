"""Read the axes of a search from its config, and refuse keys and values that cannot be. Pure."""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import ValidationError

from medembed.config import list_keys
from medembed.config_faults import explain_value
from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.training.config import TrainingConfig
from medembed.tuning.space import WEIGHTS, Axis, Kind, Point, default_point, look_up, settings

KINDS: tuple[str, ...] = get_args(Kind)
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


def read_axes(
    search: Mapping[str, Mapping[str, Any]], training: TrainingConfig, mining: MiningConfig
) -> tuple[Axis, ...]:
    """Return the axes of `search`, {key: {kind: values}}; their defaults are these configs' values.

    Raises ValueError for a key that does not exist or is not searched, for values that it cannot
    have, and for a search without trial 0.
    """
    if not search:
        raise ValueError(
            tr(
                "search: empty; name a key to search, such as training.learning_rate: "
                "{log_uniform: [1e-6, 1e-4]}"
            )
        )
    known = [key.name for key in list_keys(TrainingConfig, "training.")] + list(CUT)
    axes: list[Axis] = []
    for key, spec in search.items():
        _check_key(key, known)
        axes += _read_key(key, spec, training, mining)
    defaults = default_point(axes)
    for axis in axes:
        tried = list(axis.values)
        if "uniform" in axis.kind:
            low, high = axis.values
            tried.append(low + _INSIDE * (high - low))
        for value in tried:
            _check_value(axis, value, defaults, training, mining)
    return tuple(axes)


def _read_key(
    key: str, spec: Mapping[str, Any], training: TrainingConfig, mining: MiningConfig
) -> list[Axis]:
    """Return the axes of one key, {kind: values}, each of which has trial 0's value."""
    if len(spec) != 1 or next(iter(spec)) not in KINDS:
        raise ValueError(
            tr(
                "search.{key}: found {found}, expected one of {kinds}",
                key=key,
                found=sorted(spec),
                kinds=", ".join(KINDS),
            )
        )
    ((kind, values),) = spec.items()
    axes = list(_make_axes(key, cast(Kind, kind), values, training, mining))
    for axis in axes:
        if not axis.holds(axis.default):
            raise ValueError(
                tr(
                    "search.{name}: trial 0 has {default!r}, which {kind} {values} leaves out; "
                    "take it in, or set {key} to one of these",
                    name=axis.name,
                    default=axis.default,
                    kind=kind,
                    values=list(values),
                    key=key,
                )
            )
    return axes


def _check_key(key: str, known: Sequence[str]) -> None:
    if key in _FIXED:
        raise ValueError(
            tr(
                "search.{key}: trials are compared or computed by it; set it instead of searching "
                "it",
                key=key,
            )
        )
    if key not in known:
        searchable = [name for name in known if name not in _FIXED]
        nearest = difflib.get_close_matches(key, searchable, n=1, cutoff=0.0)
        note = ""
        if key.startswith("mining."):
            first, second = CUT
            note = tr(
                " (of mining only {first} and {second} can be searched)", first=first, second=second
            )
        raise ValueError(
            tr(
                "search.{key}: unknown key; the nearest that can be searched is {nearest!r}{note}",
                key=key,
                nearest=nearest[0],
                note=note,
            )
        )


def _make_axes(
    key: str, kind: Kind, values: Any, training: TrainingConfig, mining: MiningConfig
) -> Iterator[Axis]:
    given = tuple(values) if isinstance(values, list | tuple) else (values,)
    if key == WEIGHTS:
        yield from _weight_axes(kind, given, training)
        return
    if kind == "simplex":
        raise ValueError(
            tr(
                "search.{key}: simplex shares out weights; only {weights} takes it",
                key=key,
                weights=WEIGHTS,
            )
        )
    if kind == "choice":
        if not given or any(isinstance(value, list | dict) for value in given):
            raise ValueError(
                tr(
                    "search.{key}: found choice {values}, expected a list of numbers, names or "
                    "null",
                    key=key,
                    values=list(given),
                )
            )
    else:
        _check_bounds(key, kind, given)
    default = look_up({"training": training.model_dump(), "mining": mining.model_dump()}, key)
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
            tr(
                "search.{key}: found {kind} {values}, expected log_uniform: [lowest, highest], or "
                "simplex: [the lowest share of a dimension, below 1/{count}]",
                key=WEIGHTS,
                kind=kind,
                values=list(values),
                count=len(dimensions),
            )
        )
    for dimension, weight in zip(dimensions, weights, strict=True):
        share = (weight / sum(weights) - values[0]) / (1 - len(dimensions) * values[0])
        yield Axis(
            f"{WEIGHTS}/{dimension}/{values[0]}",
            "uniform",
            (_EDGE, 1 - _EDGE),
            math.exp(-share * len(dimensions)),
        )


def _check_bounds(key: str, kind: str, values: Sequence[Any]) -> None:
    number = int if "integer" in kind else (int, float)
    are_numbers = all(isinstance(value, number) and not isinstance(value, bool) for value in values)
    if len(values) != 2 or not are_numbers or values[0] >= values[1]:
        raise ValueError(
            tr(
                "search.{key}: found {kind} {values}, expected [lowest, highest], two rising "
                "numbers",
                key=key,
                kind=kind,
                values=list(values),
            )
        )
    if kind.startswith("log") and values[0] <= 0:
        raise ValueError(
            tr(
                "search.{key}: found {kind} from {lowest}, expected a lowest value above 0",
                key=key,
                kind=kind,
                lowest=values[0],
            )
        )


def _check_value(
    axis: Axis, value: Any, defaults: Point, training: TrainingConfig, mining: MiningConfig
) -> None:
    try:
        settings(defaults | {axis.name: value}, training, mining)
    except ValidationError as error:
        raise ValueError(
            tr(
                "search.{name}: cannot be {value!r}: {reason}",
                name=axis.name,
                value=value,
                reason=explain_value(error.errors()[0]),
            )
        ) from None
