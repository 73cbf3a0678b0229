"""What was measured: a value per unit (query, labelled document, scored pair) and dimension, and
their means. Pure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt
from scipy import stats

from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import Outcome

NO_VECTORS = 0  # the "dimension" of a ranking without vectors, such as BM25's
PER_LANGUAGE, PER_TAG = "language", "tag"
OTHERS, FEW_UNITS = "others", 10


@dataclass(frozen=True)
class Units:
    """What each value is about, in order: ids, the groups that resampling keeps together,
    languages, tags; [n] each.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    languages: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]

    def slices(self) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
        """{(language, "fr"): which units are in it, (tag, "lay"): ...}, the most frequent first.

        Names of a few units each are taken together as OTHERS, as languages that a detector sees in
        short texts are; a name that all units share is left out.
        """
        found: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
        for kind, rows in (
            (PER_LANGUAGE, [(name,) for name in self.languages]),
            (PER_TAG, self.tags),
        ):
            counts = Counter(name for row in rows for name in set(row))
            few = {name for name, count in counts.items() if count < FEW_UNITS}
            named = (
                [{OTHERS if name in few else name for name in row} for row in rows]
                if len(few) > 1
                else rows
            )
            found |= {
                (kind, name): np.array([name in row for row in named], dtype=np.bool_)
                for name in {name for row in named for name in row}
            }
        partial = {key: mask for key, mask in found.items() if not mask.all()}
        return dict(
            sorted(
                partial.items(), key=lambda entry: (entry[0][0], -int(entry[1].sum()), entry[0][1])
            )
        )


@dataclass(frozen=True)
class Measured:
    """Metrics of queries (ranking) or of labelled documents (kNN): {dimension: {metric: float64
    [n]}}.

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
        """How much each unit counts in the metric's mean [n]; 0 where the value is NaN."""
        return np.where(np.isnan(values), 0.0, self.weights.get(metric, np.ones(len(values))))

    def means(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[int, dict[str, float]]:
        """{dimension: {metric: mean}} over all units, or those of the mask; metrics that apply to
        none left out.
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
    """Pairs that came with a similarity: `similarity` [n], from 0 to 1, and the cosines {dimension:
    [n]} under a model.

    The unit's id is the query's and the document's, joined by a tab.
    """

    units: Units
    similarity: Values
    cosines: Mapping[int, Values]

    def means(self, mask: npt.NDArray[np.bool_] | None = None) -> dict[int, dict[str, float]]:
        """{dimension: {"spearman": ..., "pearson": ...}} over all pairs, or those of the mask.

        Left out where it is not defined: fewer than three pairs, or one of the two constant.
        """
        kept = np.ones(len(self.similarity), dtype=np.bool_) if mask is None else mask
        means: dict[int, dict[str, float]] = {}
        for dimension, cosines in self.cosines.items():
            pair = self.similarity[kept], cosines[kept]
            varies = len(pair[0]) > 2 and all(np.ptp(column) > 0 for column in pair)
            means[dimension] = (
                {
                    "spearman": float(stats.spearmanr(*pair)[0]),
                    "pearson": float(stats.pearsonr(*pair)[0]),
                }
                if varies
                else {}
            )
        return means


@dataclass(frozen=True)
class Evaluation:
    """One model on one data set, at several dimensions; at least one of the three families is
    there.

    `name` is what people call the model; `uri` the folder where all of this lies. `must_rank` has
    the outcome of each must-rank case by dimension.
    """

    name: str
    uri: str
    encoder: str
    queries: Measured | None = None
    documents: Measured | None = None
    pairs: Scored | None = None
    must_rank: Mapping[int, tuple[Outcome, ...]] = field(default_factory=dict)

    @property
    def families(self) -> tuple[Measured | Scored, ...]:
        return tuple(
            family for family in (self.queries, self.documents, self.pairs) if family is not None
        )

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Those measured, widest first; (NO_VECTORS,) for a ranking without vectors."""
        return tuple(sorted({d for family in self.families for d in family.means()}, reverse=True))

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        """{dimension: {metric: mean}}, widest dimension first."""
        means = [family.means() for family in self.families]
        return {
            d: {name: v for rows in means for name, v in rows.get(d, {}).items()}
            for d in self.dimensions
        }

    def slices(self) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
        """{(language, "fr"): {dimension: {metric: mean}}, (tag, "lay"): ...}."""
        found: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        for family in self.families:
            for key, mask in family.units.slices().items():
                for dimension, row in family.means(mask).items():
                    found.setdefault(key, {}).setdefault(dimension, {}).update(row)
        return found


def join(parts: Sequence[Measured]) -> Measured:
    """The parts as one, in order; a metric that a part lacks is NaN there."""
    units = Units(
        *(
            tuple(one for part in parts for one in getattr(part.units, column.name))
            for column in fields(Units)
        )
    )
    sizes = [len(part.units.ids) for part in parts]
    weights = _join([{NO_VECTORS: part.weights} for part in parts], sizes)[NO_VECTORS]
    return Measured(
        units,
        _join([part.values for part in parts], sizes),
        weights,
        _join([part.cosines for part in parts], sizes),
    )


def _join(
    tables: Sequence[Mapping[int, Mapping[str, Values]]], sizes: Sequence[int]
) -> dict[int, dict[str, Values]]:
    joined: dict[int, dict[str, Values]] = {}
    for dimension in tables[0]:
        joined[dimension] = {
            name: np.concatenate(
                [
                    table[dimension].get(name, np.full(size, np.nan))
                    for table, size in zip(tables, sizes, strict=True)
                ]
            )
            for name in dict.fromkeys(name for table in tables for name in table[dimension])
        }
    return joined


def principal_metrics(metrics: Sequence[str]) -> list[str]:
    """Of the metrics measured, those that a summary shows, the first one being the objective.

    NDCG and recall at 10, or at the smallest k measured; then those of other data shapes.
    """
    depths = sorted(int(name.rpartition("@")[2]) for name in metrics if name.startswith("ndcg@"))
    k = 10 if 10 in depths else next(iter(depths), 10)
    wanted = (
        f"ndcg@{k}",
        f"recall@{k}",
        "spearman",
        "knn_accuracy",
        "triplet_accuracy",
        f"negative_accuracy@{k}",
    )
    return [name for name in wanted if name in metrics]


def baseline_dimensions(dimensions: Sequence[int], width: int) -> tuple[int, ...]:
    """Where a baseline is measured: at its full width, and at those of a model's dimensions that it
    has.
    """
    return (width, *(dimension for dimension in dimensions if dimension < width))
