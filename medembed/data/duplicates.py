"""Which rows stand for the same text, and which of them stays. Pure: key columns in, arrays out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.privacy import show_id

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Place = Callable[[int], str]  # file and line of a staged row
ABSENT = -1
# rules by which manifests count the rows that were merged, by kind of text
_REPEATED = {
    "document": to_translate("document text repeated under another id"),
    "query": to_translate("query text repeated under another id"),
}
_ALIKE = {
    "document": to_translate("document that differs from another in case or punctuation alone"),
    "query": to_translate("query that differs from another in case or punctuation alone"),
}
_OF_TWO_TEXTS = {
    "document": to_translate("document id that stands for two texts"),
    "query": to_translate("query id that stands for two texts"),
}


@dataclass(frozen=True)
class Texts:
    """Distinct texts of one kind.

    `ids` [T] (strings) are the ids that stay; `row` [T] the staged row of each; `of_row` [R] the
    text of every staged row. `met` [M] are all ids, those merged into another included, and
    `of_met` [M] their texts.
    """

    ids: pa.Array
    row: Ints
    of_row: Ints
    met: pa.Array
    of_met: Ints

    def find(self, ids: pa.ChunkedArray) -> Ints:
        """Return the texts of ids, ABSENT for one that was never met."""
        position = positions(ids, self.met)
        return np.where(
            position == ABSENT, ABSENT, self.of_met[position] if len(self.of_met) else ABSENT
        )


def distinct_texts(
    rows: pa.Table, kind: str, known: pa.Array, second_choice: Flags, place: Place | None
) -> tuple[Texts, Counter[str]]:
    """Return the distinct texts of staged rows (columns id, content, spelling), and the counts of
    what was merged.

    Rows with one id are one text; ids whose texts differ in spelling alone become one: of those not
    marked in `second_choice` [R] and `known` from before, the smallest id. Raises DataError if one
    id stands for two texts; without `place` such rows are counted instead, and the first text
    stays.
    """
    id_of_row, ids = encode(rows["id"])
    first = np.unique(id_of_row, return_index=True)[1]
    contents, _ = encode(rows["content"])
    clash = np.flatnonzero(contents != contents[first[id_of_row]])
    if len(clash) and place is not None:
        row = int(clash[0])
        raise DataError(
            "{place}: {kind} id {name!r} stands for another text in {before} ({count:,} "
            "such rows in all); give each text an id of its own, or keep the first with "
            "source.skip_bad_rows=true.",
            place=place(row),
            kind=tr(kind),
            name=show_id(ids[id_of_row[row]].as_py()),
            before=place(int(first[id_of_row[row]])),
            count=len(clash),
        )

    spellings, _ = encode(rows["spelling"].take(pa.array(first)))
    order = np.lexsort((ranks(ids), positions(ids, known) == ABSENT, second_choice[first]))
    stays = np.sort(order[np.unique(spellings[order], return_index=True)[1]])
    keeper = np.empty(len(stays), dtype=np.int64)
    keeper[spellings[stays]] = np.arange(len(stays))
    of_id = keeper[spellings]
    kept_id = stays[of_id] if len(stays) else of_id

    merged = np.flatnonzero(kept_id != np.arange(len(ids)))
    same = contents[first[merged]] == contents[first[kept_id[merged]]]
    counts = Counter(
        {
            _REPEATED[kind]: int(same.sum()),
            _ALIKE[kind]: int((~same).sum()),
            _OF_TWO_TEXTS[kind]: len(clash),
        }
    )
    return Texts(ids.take(pa.array(stays)), first[stays], of_id[id_of_row], ids, of_id), counts


def encode(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return (number of each value in order of first appearance, the distinct values)."""
    encoded = pa.chunked_array(column.chunks, column.type).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def mark(places: Ints | Flags, count: int) -> Flags:
    """Return [count] flags that are set at these places."""
    flags = np.zeros(count, dtype=bool)
    flags[places] = True
    return flags


class Bounds(NamedTuple):
    """Of each place the lowest and the highest of its values; low is above high without any."""

    low: Ints
    high: Ints


def bounds(places: Ints, values: Ints, count: int) -> Bounds:
    """Return [count] the bounds of the values at each place; negative values do not count."""
    counts = values >= 0
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.full(count, ABSENT)
    np.minimum.at(low, places[counts], values[counts])
    np.maximum.at(high, places[counts], values[counts])
    return Bounds(low, high)


def ranks(values: pa.Array) -> Ints:
    """Return the place of each of some distinct strings in their sorted order, from 0."""
    order = pc.sort_indices(values).to_numpy()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def positions(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> Ints:
    """Return the position of each value among distinct ones, ABSENT where it is not there."""
    return np.asarray(
        pc.fill_null(pc.index_in(values, value_set=among), ABSENT).to_numpy(), dtype=np.int64
    )
