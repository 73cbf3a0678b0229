"""Kinds of queries: which may not measure, and which are held back from training. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.config import HoldBackConfig
from medembed.data.duplicates import Flags, Ints, Texts, mark
from medembed.errors import DataError
from medembed.language import tr
from medembed.schema import ALL_SPLITS, HELD_BACK, SPLITS, WEAK

FEWEST_HELD_BACK = 10  # test queries; fewer say nothing
_SHOWN = 8


@dataclass(frozen=True)
class Kinds:
    """[Q] which queries are `weak`, so never in the test split, and which are held back."""

    weak: Flags
    back: Mapping[str, Flags]  # by the key of `splits.hold_back`

    @property
    def is_back(self) -> Flags:
        """Return [Q] whether a query is of any kind that is held back."""
        return np.any([np.zeros_like(self.weak), *self.back.values()], axis=0)


def find_kinds(rows: pa.Table, queries: Texts, config: HoldBackConfig) -> Kinds:
    """Return the kinds of the queries; `rows` are the staged ones, with tags and language.

    Of several rows that ask the same, one with the tag is enough to hold it back, and all must be
    weak to make it weak. Raises DataError if no query is of a kind that is to be held back.
    """
    has_person = queries.of_row[~has_tag(rows["tags"], WEAK)]
    weak = ~mark(has_person, len(queries.ids))
    back: dict[str, Flags] = {}
    if config.tag is not None:
        tagged = queries.of_row[has_tag(rows["tags"], config.tag)]
        back["tag"] = mark(tagged, len(queries.ids))
    if config.language is not None:
        languages = rows["language"].take(pa.array(queries.row))
        back["language"] = pc.equal(languages, config.language).to_numpy()
    for kind, flags in back.items():
        if not flags.any():
            raise DataError(_explain_unknown(kind, rows, config))
    return Kinds(weak & ~back["tag"] if config.tag == WEAK else weak, back)


def has_tag(tags: pa.ChunkedArray, tag: str) -> Flags:
    """Return [R] whether each row's list of tags holds this one."""
    is_tag = pc.equal(pc.list_flatten(tags), tag)
    return mark(pc.list_parent_indices(tags).filter(is_tag).to_numpy(), len(tags))


def check_held_back(
    kinds: Kinds, split: Ints, kept: Flags, measurable: Flags, config: HoldBackConfig
) -> None:
    """Raise DataError if what is held back leaves a split empty, or is too little to measure.

    `split` [Q] are positions in ALL_SPLITS; `kept` [Q] queries stay, and `measurable` [Q] of them
    have a positive.
    """
    named = ", ".join(f"splits.hold_back.{kind}={getattr(config, kind)}" for kind in kinds.back)
    for position, name in enumerate(SPLITS):
        is_of = split == (ALL_SPLITS.index(HELD_BACK) if name == "test" else position)
        count = int((kinds.is_back & is_of).sum())
        if count and not (kept & (split == position)).any():
            raise DataError(
                "{keys}: no query is left in the {split} split, as all {count:,} of it are of "
                "that kind; hold back another.",
                keys=named,
                split=name,
                count=count,
            )
    for kind, flags in kinds.back.items():
        count = int((flags & measurable & (split == ALL_SPLITS.index(HELD_BACK))).sum())
        if count < FEWEST_HELD_BACK:
            raise DataError(
                "splits.hold_back.{kind}={value}: {count} queries of that kind fall into the "
                "test split, expected {fewest} or more; raise splits.test, or hold "
                "back another.",
                kind=kind,
                value=getattr(config, kind),
                count=count,
                fewest=FEWEST_HELD_BACK,
            )


def _explain_unknown(kind: str, rows: pa.Table, config: HoldBackConfig) -> str:
    """Return the sentence that no query is of this kind, and which kinds there are."""
    values = pc.list_flatten(rows["tags"]) if kind == "tag" else rows["language"]
    counts = Counter(values.to_pylist()).most_common()
    shown = [
        tr("{value} ({count:,})", value=value, count=count) for value, count in counts[:_SHOWN]
    ]
    more = [tr("{count} more", count=len(counts) - _SHOWN)] if len(counts) > _SHOWN else []
    there = (
        tr("there are {kinds}", kinds=", ".join([*shown, *more]))
        if shown
        else tr("there is none; source.columns.tags names columns")
    )
    return tr(
        "splits.hold_back.{kind}: no query has the {kind} {value!r}; {there}.",
        kind=kind,
        value=getattr(config, kind),
        there=there,
    )
