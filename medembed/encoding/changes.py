"""What must be done so that an embedding table equals a corpus again, from keys alone. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed.errors import DataError

ROWS_PER_ITEM = 1024  # one item is one fragment, and what a worker does at a time: about 10 s on one core
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Keys:
    """Ids and content hashes [N], strings, of a corpus's or a table's rows, in order."""

    ids: pa.Array
    hashes: pa.Array

    def take(self, rows: Places) -> "Keys":
        """Those at these places."""
        return Keys(self.ids.take(pa.array(rows)), self.hashes.take(pa.array(rows)))


NO_KEYS = Keys(pa.array([], pa.string()), pa.array([], pa.string()))


@dataclass(frozen=True)
class Changes:
    """Rows of the corpus (`new`, `twins`, `copies`) and of the table (`dead`), by place.

    `new` are to be encoded, each text once. `twins` have the text of a new row, `first`; `copies` have one that the
    table holds already. `dead` are table rows that the corpus no longer has, or has with another text.
    """

    new: Places
    twins: Places
    first: Places
    copies: Places
    dead: Places | None
    counts: dict[str, int]


def find_changes(corpus: Keys, table: Keys, fragments: Sequence[int]) -> Changes:
    """Compares a corpus with a table, whose fragments have so many rows.

    Raises DataError if the corpus has an id twice or a row without one.
    """
    _check_ids(corpus.ids)
    place = pc.index_in(corpus.ids, value_set=table.ids)
    known = place.is_valid().to_numpy(zero_copy_only=False)
    old = pc.fill_null(place, 0).to_numpy().astype(np.int64)
    same = known.copy()
    if len(table.ids):
        same &= pc.equal(corpus.hashes, table.hashes.take(pa.array(old))).to_numpy(zero_copy_only=False)
    is_dead = np.ones(len(table.ids), dtype=np.bool_)
    is_dead[old[same]] = False
    is_whole = _has_dead_fragment(is_dead, fragments)
    rows = np.arange(len(same)) if is_whole else np.flatnonzero(~same)
    hashes = corpus.hashes.take(pa.array(rows))
    held = pc.is_in(hashes, value_set=table.hashes).to_numpy(zero_copy_only=False)
    fresh = rows[~held]
    new, twins, first = _split_repeated(fresh, hashes.filter(pa.array(~held)))
    counts = {
        "added": int((~known).sum()),
        "changed": int((known & ~same).sum()),
        "deleted": int(len(table.ids) - known.sum()),
        "unchanged": int(same.sum()),
        "encoded": len(new),
    }
    return Changes(new, twins, first, rows[held], None if is_whole else np.flatnonzero(is_dead), counts)


def deal_rows(changes: Changes, corpus: Keys, files: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """Items {number, rows, parts: [{file, rows}], twins: [{row, document_id}]} of new rows, a fragment's worth each.

    A file's rows stay together where they fit. `row` is the place in the item. Every item has the same keys, whoever
    works on it.
    """
    ends = np.cumsum([rows for _, rows in files])
    start_of = dict(zip(changes.new.tolist(), range(len(changes.new)), strict=True))
    twins: dict[int, list[int]] = {}
    for twin, first in zip(changes.twins.tolist(), changes.first.tolist(), strict=True):
        twins.setdefault(start_of[first], []).append(twin)
    for number, (start, end) in enumerate(_blocks(changes.new, ends)):
        rows = changes.new[start:end]
        owners = np.searchsorted(ends, rows, side="right")
        parts = [
            {"file": files[owner][0], "rows": (rows[owners == owner] - (ends[owner] - files[owner][1])).tolist()}
            for owner in np.unique(owners).tolist()
        ]
        named = [
            {"row": place - start, "document_id": corpus.ids[twin].as_py()}
            for place in range(start, end)
            for twin in twins.get(place, ())
        ]
        yield {"number": number, "rows": len(rows), "parts": parts, "twins": named}


def deal_copies(changes: Changes, corpus: Keys, number: int) -> Iterator[dict[str, Any]]:
    """Items {number, rows, ids, hashes} of rows whose vector the table holds under another id."""
    for start in range(0, len(changes.copies), ROWS_PER_ITEM):
        keys = corpus.take(changes.copies[start : start + ROWS_PER_ITEM])
        yield {"number": number, "rows": len(keys.ids), "ids": keys.ids.to_pylist(), "hashes": keys.hashes.to_pylist()}
        number += 1


def _blocks(rows: Places, ends: Places) -> Iterator[tuple[int, int]]:
    """[start, end) of consecutive items: whole files while they fit, larger files cut."""
    owners = np.searchsorted(ends, rows, side="right")
    starts = [0, *(np.flatnonzero(owners[1:] != owners[:-1]) + 1).tolist()]
    start = 0
    for file_start, file_end in zip(starts, [*starts[1:], len(rows)], strict=True):
        if start < file_start and file_end - start > ROWS_PER_ITEM:
            yield start, file_start
            start = file_start
        while file_end - start > ROWS_PER_ITEM:
            yield start, start + ROWS_PER_ITEM
            start += ROWS_PER_ITEM
    if start < len(rows):
        yield start, len(rows)


def _has_dead_fragment(is_dead: npt.NDArray[np.bool_], fragments: Sequence[int]) -> bool:
    ends = np.cumsum(fragments)
    return any(is_dead[end - rows : end].all() for end, rows in zip(ends.tolist(), fragments, strict=True))


def _split_repeated(rows: Places, hashes: pa.Array) -> tuple[Places, Places, Places]:
    """(rows of which each text is the first, the others, the first row of each of the others)."""
    codes = pc.dictionary_encode(hashes).indices.to_numpy().astype(np.int64)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    owner = rows[first][inverse]
    is_first = owner == rows
    return rows[is_first], rows[~is_first], owner[~is_first]


def _check_ids(ids: pa.Array) -> None:
    missing = ids.null_count + pc.sum(pc.equal(ids, "")).as_py() if len(ids) else 0
    if missing:
        raise DataError(f"corpus: {missing} documents have no id; give each one of its own.")
    counted = pc.value_counts(ids)
    repeated = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
    if len(repeated):
        raise DataError(
            f"corpus: {len(repeated)} ids stand more than once, e.g. {min(repeated.to_pylist())!r}; give each document "
            "an id of its own."
        )
