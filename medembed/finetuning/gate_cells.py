"""Choose the differences that the gate judges: of objective, dimensions and languages. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.evaluation.bootstrap import FEWEST_GROUPS, Cell, Grouping, mean_cell
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import Measured
from medembed.language import to_translate

Mask = npt.NDArray[np.bool_]
OLD = to_translate("old")
NEW = to_translate("new")
ALL = to_translate("all")
OTHERS = to_translate("others")  # languages of few queries, taken together


@dataclass(frozen=True)
class Question:
    """A difference to judge: of a dimension, 0 for the mean over all, in a part of the queries."""

    part: str
    dimension: int
    language: str
    cell: Cell


class BeforeAfter(NamedTuple):
    """A metric of each query, of the champion and of the candidate."""

    before: Values
    after: Values


class Subset(NamedTuple):
    """Queries of a part and a pair of languages, "fr -> en", that are judged by themselves."""

    part: str
    language: str
    mask: Mask


def make_questions(
    before: Measured,
    after: Measured,
    old: Collection[str],
    metric: str,
    dimensions: Sequence[int],
    min_queries: int,
) -> list[Question]:
    """Return the objective's differences first, then those of each dimension and subset."""
    grouping = Grouping.of(after.units.groups)
    parts = _split_by_age(after, old)
    pairs = {}
    for dimension in dimensions:
        pairs[dimension] = BeforeAfter(
            _values(before, metric, dimension), _values(after, metric, dimension)
        )
    mean = BeforeAfter(
        np.mean([pair.before for pair in pairs.values()], axis=0),
        np.mean([pair.after for pair in pairs.values()], axis=0),
    )
    languages = np.asarray(after.units.languages, dtype=np.str_)

    questions = []
    for part, mask in parts.items():
        questions += _ask(mean, Subset(part, ALL, mask), 0, grouping)
    for subset in split_by_language(parts, languages, min_queries):
        for dimension, pair in pairs.items():
            questions += _ask(pair, subset, dimension, grouping)
    return questions


def _values(measured: Measured, metric: str, dimension: int) -> Values:
    """Return each query's value at this dimension, or at the widest of a narrower model."""
    width = dimension if dimension in measured.values else max(measured.values)
    return measured.values[width][metric]


def _ask(pair: BeforeAfter, subset: Subset, dimension: int, grouping: Grouping) -> list[Question]:
    """Return the question about a subset; none where nothing can be compared."""
    inside = grouping.take(subset.mask)
    cell = mean_cell(pair.before[subset.mask], pair.after[subset.mask], inside)
    return [Question(subset.part, dimension, subset.language, cell)] if cell else []


def _split_by_age(measured: Measured, old: Collection[str]) -> dict[str, Mask]:
    """Split old from new test queries, if each part has enough groups to be judged alone."""
    is_old = np.array([name in old for name in measured.units.ids], dtype=np.bool_)
    groups = np.asarray(measured.units.groups)
    everything = np.ones(len(is_old), dtype=np.bool_)
    old_groups = len(np.unique(groups[is_old]))
    new_groups = len(np.unique(groups[~is_old]))
    if new_groups == 0:
        return {OLD: everything}
    if old_groups == 0:
        return {NEW: everything}
    if min(old_groups, new_groups) < FEWEST_GROUPS:
        return {ALL: everything}
    return {OLD: is_old, NEW: ~is_old}


def split_by_language(
    parts: dict[str, Mask], languages: npt.NDArray[np.str_], least: int
) -> Iterator[Subset]:
    """Yield the subsets that are judged by themselves, so that no loss is hidden by being spread.

    First languages of `least` queries in a part; then those of fewer in each, if they are enough
    over both; then all that is left of a part, or of both, together.
    """
    few: dict[str, dict[str, Mask]] = {}
    for part, mask in parts.items():
        for language in np.unique(languages[mask]).tolist():
            inside = mask & (languages == language)
            if inside.sum() >= least:
                yield Subset(part, language, inside)
            else:
                few.setdefault(language, {})[part] = inside

    rest: dict[str, Mask] = {}
    for language, masks in few.items():
        together = np.logical_or.reduce(list(masks.values()))
        if together.sum() >= least:
            yield Subset(ALL, language, together)
            continue
        for part, mask in masks.items():
            rest[part] = mask | rest[part] if part in rest else mask

    if rest and all(mask.sum() < least for mask in rest.values()):
        together = np.logical_or.reduce(list(rest.values()))
        if together.sum() >= least:
            rest = {ALL: together}
    for part, mask in rest.items():
        names = np.unique(languages[parts.get(part, mask)])
        yield Subset(part, names[0] if len(names) == 1 else OTHERS, mask)
