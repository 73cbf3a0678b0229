"""What was measured: a value per query, labelled document or scored pair, and the means. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import CaseOutcome
from medembed.language import to_translate, tr

NO_VECTORS = 0  # the "dimension" of a ranking without vectors, such as BM25's
BYTES_PER_VALUE = 4  # of a vector of float32
PER_LANGUAGE = to_translate("language")
PER_TAG = to_translate("tag")
OTHERS = to_translate("others")
FEW_UNITS = 10
# what jobs call their models, in JSON too; other names are those of users
_ROLES = (
    to_translate("base model"),
    to_translate("trained"),
    to_translate("fine-tuned"),
    to_translate("champion"),
    to_translate("candidate"),
    to_translate("winner"),
    to_translate("student"),
    to_translate("teacher"),
)


def model_label(name: str) -> str:
    """Return the name of a model as people read it: in their language where a job gave it."""
    return tr(name) if name in _ROLES else name


@dataclass(frozen=True)
class Units:
    """What each value is about, in order; [n] each. Resampling keeps a group together."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    languages: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]

    def slices(self) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
        """Return {(language, "fr"): which units are in it, (tag, "lay"): ...}, the largest first.

        A language is that of the query and of its positives, as in "fr -> en".

        Names of a few units each are taken together as OTHERS, as languages that a detector sees in
        short texts are; a name that all units share is left out.
        """
        masks: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
        for kind, rows in (
            (PER_LANGUAGE, [{name} for name in self.languages]),
            (PER_TAG, [set(row) for row in self.tags]),
        ):
            for name, units in _count_units(rows).items():
                mask = np.zeros(len(rows), dtype=np.bool_)
                mask[units] = True
                if not mask.all():
                    masks[kind, name] = mask
        order = sorted(masks, key=lambda key: (key[0], -int(masks[key].sum()), key[1]))
        return {key: masks[key] for key in order}


@dataclass(frozen=True)
class Measured:
    """Metrics of queries (ranking) or labelled documents (kNN): {dimension: {metric: float64 [n]}}.

    NaN where a metric does not apply to a unit. `weights` {metric: [n]} say how much a unit counts
    in a metric's mean where that is not 1. `cosines` {dimension: {"positive" | "negative" |
    "other": [n]}} are those of each query's best positive, best judged negative and best document
    that is no positive; NaN where there is none.
    """

    units: Units
    values: Mapping[int, Mapping[str, Values]]
    weights: Mapping[str, Values]
    cosines: Mapping[int, Mapping[str, Values]]

    def weight_of(self, metric: str, values: Values) -> Values:
        """Return how much each unit counts in the metric's mean [n]; 0 where the value is NaN."""
        return np.where(np.isnan(values), 0.0, self.weights.get(metric, np.ones(len(values))))

    def means(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[int, dict[str, float]]:
        """Return {dimension: {metric: mean}} over all units, or those of the mask.

        Metrics that apply to none are left out.
        """
        means: dict[int, dict[str, float]] = {}
        for dimension, named in self.values.items():
            means[dimension] = {}
            for metric, values in named.items():
                weights = self.weight_of(metric, values) * (1.0 if mask is None else mask)
                if weights.any():
                    means[dimension][metric] = float(
                        np.nan_to_num(values) @ weights / weights.sum()
                    )
        return means


@dataclass(frozen=True)
class Scored:
    """Pairs that came with a `similarity` [n], from 0 to 1, and their cosines {dimension: [n]}.

    The unit's id is the query's and the document's, joined by a tab.
    """

    units: Units
    similarity: Values
    cosines: Mapping[int, Values]

    def means(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[int, dict[str, float]]:
        """Return {dimension: {"spearman": ..., "pearson": ...}} over all pairs, or the mask's.

        Left out where it is not defined: fewer than three pairs, or one of the two constant.
        """
        kept = np.ones(len(self.similarity), dtype=np.bool_) if mask is None else mask
        given = self.similarity[kept]
        means: dict[int, dict[str, float]] = {}
        for dimension, cosines in self.cosines.items():
            means[dimension] = {}
            computed = cosines[kept]
            if len(given) > 2 and np.ptp(given) > 0 and np.ptp(computed) > 0:
                means[dimension]["spearman"] = float(stats.spearmanr(given, computed)[0])
                means[dimension]["pearson"] = float(stats.pearsonr(given, computed)[0])
        return means


@dataclass(frozen=True)
class Evaluation:
    """One model on one data set, at several dimensions, with at least one of the three families.

    `name` is what people call the model; `uri` the folder where all of this lies. `must_rank` has
    the outcome of each must-rank case by dimension.
    """

    name: str
    uri: str
    encoder: str
    queries: Measured | None = None
    documents: Measured | None = None
    pairs: Scored | None = None
    must_rank: Mapping[int, tuple[CaseOutcome, ...]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name as people read it."""
        return model_label(self.name)

    @property
    def families(self) -> dict[str, Measured | Scored]:
        """Those that were measured, by name."""
        named = {"queries": self.queries, "documents": self.documents, "pairs": self.pairs}
        return {name: family for name, family in named.items() if family is not None}

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Those measured, widest first; (NO_VECTORS,) for a ranking without vectors."""
        measured: set[int] = set()
        for family in self.families.values():
            measured.update(family.means())
        return tuple(sorted(measured, reverse=True))

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        """{dimension: {metric: mean}}, widest dimension first."""
        merged: dict[int, dict[str, float]] = {d: {} for d in self.dimensions}
        for family in self.families.values():
            for d, row in family.means().items():
                merged[d].update(row)
        return merged

    @property
    def metric_names(self) -> list[str]:
        """Those measured at any dimension."""
        names: dict[str, None] = {}
        for row in self.metrics.values():
            names |= dict.fromkeys(row)
        return list(names)

    def slices(self) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
        """Return {(language, "fr"): {dimension: {metric: mean}}, (tag, "lay"): ...}."""
        slices: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        for family in self.families.values():
            for key, mask in family.units.slices().items():
                for dimension, row in family.means(mask).items():
                    slices.setdefault(key, {}).setdefault(dimension, {}).update(row)
        return slices


def _count_units(rows: Sequence[set[str]]) -> dict[str, list[int]]:
    """Return {name: units that bear it}; of several names with few units each, all as OTHERS."""
    units: dict[str, list[int]] = {}
    for number, names in enumerate(rows):
        for name in names:
            units.setdefault(name, []).append(number)
    few = [name for name, numbers in units.items() if len(numbers) < FEW_UNITS]
    if len(few) > 1:
        others = set(units.get(OTHERS, ()))
        for name in few:
            others.update(units.pop(name))
        units[OTHERS] = sorted(others)
    return units


def join(parts: Sequence[Measured]) -> Measured:
    """Join the parts in order; a metric that a part lacks is NaN there."""
    columns: dict[str, list[Any]] = {column.name: [] for column in fields(Units)}
    for part in parts:
        for name, values in columns.items():
            values += getattr(part.units, name)
    units = Units(**{name: tuple(values) for name, values in columns.items()})
    sizes = [len(part.units.ids) for part in parts]
    weights = [{NO_VECTORS: part.weights} for part in parts]
    return Measured(
        units,
        _join([part.values for part in parts], sizes),
        _join(weights, sizes)[NO_VECTORS],
        _join([part.cosines for part in parts], sizes),
    )


def _join(
    tables: Sequence[Mapping[int, Mapping[str, Values]]], sizes: Sequence[int]
) -> dict[int, dict[str, Values]]:
    joined: dict[int, dict[str, Values]] = {}
    for dimension in tables[0]:
        joined[dimension] = {}
        names: dict[str, None] = {}
        for table in tables:
            names |= dict.fromkeys(table[dimension])
        for name in names:
            values = []
            for table, size in zip(tables, sizes, strict=True):
                values.append(table[dimension].get(name, np.full(size, np.nan)))
            joined[dimension][name] = np.concatenate(values)
    return joined


def baseline_dimensions(dimensions: Sequence[int], width: int) -> tuple[int, ...]:
    """Return where a baseline is measured: at its width, and at the narrower `dimensions`."""
    return (width, *(dimension for dimension in dimensions if dimension < width))
