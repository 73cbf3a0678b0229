"""What must be done so that an embedding table equals a corpus again, from keys alone.

DuckDB joins the keys of both, on disk where they outgrow a fixed share of memory, so that a
driver's memory does not grow with the corpus.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.database import Database, insert, open_database, read_batches, read_one
from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.privacy import show_id

Places = npt.NDArray[np.int64]

# A small corpus is dealt in smaller items, so that no worker waits long for the last.
_FEWEST_PER_ITEM = 128
_ITEMS_OF_A_SMALL_CORPUS = 32
_TABLES = """
CREATE TABLE fresh AS SELECT place, id, hash FROM corpus ANTI JOIN held USING (id, hash);
CREATE TABLE dead AS SELECT fragment, id FROM held ANTI JOIN corpus USING (id, hash);
CREATE TABLE copies AS SELECT place, id, hash FROM fresh SEMI JOIN held USING (hash);
CREATE TABLE novel AS SELECT place, id, hash FROM fresh ANTI JOIN held USING (hash);
CREATE TABLE firsts AS SELECT min(place) AS place, hash FROM novel GROUP BY hash;
CREATE TABLE twins AS
    SELECT firsts.place AS first, novel.place AS place, id
    FROM novel JOIN firsts USING (hash) WHERE novel.place <> firsts.place;
"""
_COUNTED = {
    "added": to_translate("{count:,} added"),
    "changed": to_translate("{count:,} changed"),
    "deleted": to_translate("{count:,} deleted"),
    "unchanged": to_translate("{count:,} unchanged"),
    "encoded": to_translate("{count:,} encoded"),
}
_COUNTS = """
SELECT (SELECT count(*) FROM fresh ANTI JOIN held USING (id)),
       (SELECT count(*) FROM fresh SEMI JOIN held USING (id)),
       (SELECT count(*) FROM held ANTI JOIN corpus USING (id)),
       (SELECT count(*) FROM corpus) - (SELECT count(*) FROM fresh),
       (SELECT count(*) FROM firsts)
"""
_DEAD = "SELECT fragment, list(id ORDER BY id) AS ids FROM dead GROUP BY fragment ORDER BY fragment"


class NewRows(NamedTuple):
    """Places in the corpus of some new rows of a file, whose first row is at `start`."""

    file: int
    start: int
    places: Places


@dataclass(frozen=True)
class Keys:
    """Ids and content hashes [N], strings, of rows of a corpus or a table, in order."""

    ids: pa.Array
    hashes: pa.Array


class Changes:
    """Texts to encode, each once; rows whose vector the table has already; rows to delete.

    `counts` are rows added, changed, deleted and unchanged, and texts to be encoded; `rows` are
    those to be written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(_TABLES)
        self.counts: dict[str, int] = dict(zip(_COUNTED, read_one(database, _COUNTS), strict=True))
        self.rows = self.counts["added"] + self.counts["changed"]

    def describe(self) -> str:
        """Return the counts as a phrase."""
        return describe_counts(self.counts)

    def dead(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (place of a fragment in the table, ids of its rows to delete)."""
        for row in self._read(_DEAD):
            yield row["fragment"], row["ids"]

    def deal(self, files: Sequence[tuple[str, int]], most: int) -> Iterator[dict[str, Any]]:
        """Yield items {number, rows} of at most so many texts, with the work of each.

        To encode: `parts` [{file, ranges: [[start, end)]}] of new rows, and `twin_ids` of rows that
        share the texts of the item's `twin_rows`; to copy: `ids` and `hashes`. A file's rows stay
        together where they fit.
        """
        for number, item in enumerate(chain(self._deal_new(files, most), self._deal_copies(most))):
            yield {"number": number} | item

    def _deal_new(self, files: Sequence[tuple[str, int]], most: int) -> Iterator[dict[str, Any]]:
        twins = self._read("SELECT first, id FROM twins ORDER BY first, place")
        twin = next(twins, None)
        for item in _pack(self._new_by_file(files), items_of(self.counts["encoded"], most)):
            places = np.concatenate([rows.places for rows in item])
            twin_rows = []
            twin_ids = []
            while twin is not None and twin["first"] <= places[-1]:
                twin_rows.append(int(np.searchsorted(places, twin["first"])))
                twin_ids.append(twin["id"])
                twin = next(twins, None)
            parts = []
            for rows in item:
                ranges = _runs(rows.places - rows.start)
                parts.append({"file": files[rows.file][0], "ranges": ranges})
            yield {
                "rows": len(places) + len(twin_ids),
                "parts": parts,
                "twin_ids": twin_ids,
                "twin_rows": twin_rows,
            }

    def _new_by_file(self, files: Sequence[tuple[str, int]]) -> Iterator[NewRows]:
        """Yield the new rows of each file that has some."""
        batches = read_batches(self._database, "SELECT place FROM firsts ORDER BY place")
        waiting = np.empty(0, np.int64)
        end = 0
        for file, (_, rows) in enumerate(files):
            start = end
            end += rows
            parts = [waiting]
            while (not len(waiting) or waiting[-1] < end) and (
                batch := next(batches, None)
            ) is not None:
                waiting = batch["place"].to_numpy()
                parts.append(waiting)
            new = np.concatenate(parts)
            here = int(np.searchsorted(new, end))
            waiting = new[here:]
            if here:
                yield NewRows(file, start, new[:here])

    def _deal_copies(self, most: int) -> Iterator[dict[str, Any]]:
        rows = self._read("SELECT id, hash FROM copies ORDER BY place")
        while block := list(islice(rows, most)):
            keys = pa.Table.from_pylist(block)
            yield {
                "rows": len(block),
                "ids": keys["id"].to_pylist(),
                "hashes": keys["hash"].to_pylist(),
            }

    def _read(self, query: str) -> Iterator[dict[str, Any]]:
        for batch in read_batches(self._database, query):
            yield from batch.to_pylist()


@contextmanager
def compare(corpus: Iterable[Keys], table: Iterable[Keys]) -> Iterator[Changes]:
    """Compare the keys of a corpus, file by file, with those of a table, fragment by fragment.

    Raises DataError if the corpus has an id twice, a row without one, or no rows; StorageError if
    the local disk, where keys that do not fit into memory lie meanwhile, is full.
    """
    with open_database() as database:
        _fill_corpus(database, corpus)
        _check_ids(database)
        _fill_held(database, table)
        yield Changes(database)


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return {"added": 1200} as "1,200 added", joined by commas."""
    return ", ".join(tr(_COUNTED[name], count=count) for name, count in counts.items())


def count_repeated(table: Iterable[Keys]) -> int:
    """Count the rows of a table whose id another row has as well."""
    with open_database() as database:
        _fill_held(database, table)
        return int(read_one(database, "SELECT count(id) - count(DISTINCT id) FROM held")[0])


def items_of(rows: int, most: int) -> int:
    """Return the rows of an item; they follow from those to encode, never from the workers."""
    return int(np.clip(-(-rows // _ITEMS_OF_A_SMALL_CORPUS), _FEWEST_PER_ITEM, most))


def _fill_corpus(database: Database, corpus: Iterable[Keys]) -> None:
    database.execute("CREATE TABLE corpus (place BIGINT, id VARCHAR, hash VARCHAR)")
    start = 0
    for keys in corpus:
        places = pa.array(np.arange(start, start + len(keys.ids)))
        start += len(keys.ids)
        insert(database, "corpus", pa.table({"place": places, "id": keys.ids, "hash": keys.hashes}))


def _fill_held(database: Database, table: Iterable[Keys]) -> None:
    database.execute("CREATE TABLE held (fragment BIGINT, id VARCHAR, hash VARCHAR)")
    for fragment, keys in enumerate(table):
        numbers = pa.array(np.full(len(keys.ids), fragment))
        rows = pa.table({"fragment": numbers, "id": keys.ids, "hash": keys.hashes})
        insert(database, "held", rows)


def _check_ids(database: Database) -> None:
    rows, missing = read_one(
        database, "SELECT count(*), count(*) FILTER (coalesce(id, '') = '') FROM corpus"
    )
    if not rows:
        raise DataError("corpus: no documents; there is nothing to encode.")
    if missing:
        raise DataError(
            "corpus: {missing} documents have no id; give each one of its own.", missing=missing
        )
    repeated, example = read_one(
        database,
        "SELECT count(*), min(id) FROM (SELECT id FROM corpus GROUP BY id HAVING count(*) > 1)",
    )
    if repeated:
        raise DataError(
            "corpus: {repeated} ids stand more than once, e.g. {example!r}; give each "
            "document an id of its own.",
            repeated=repeated,
            example=show_id(example),
        )


def _pack(files: Iterable[NewRows], rows_per_item: int) -> Iterator[list[NewRows]]:
    """Yield rows of files joined while they fit into an item, those of larger files cut."""
    waiting: list[NewRows] = []
    size = 0
    for rows in files:
        if waiting and size + len(rows.places) > rows_per_item:
            yield waiting
            waiting = []
            size = 0
        while len(rows.places) > rows_per_item:
            yield [rows._replace(places=rows.places[:rows_per_item])]
            rows = rows._replace(places=rows.places[rows_per_item:])
        waiting.append(rows)
        size += len(rows.places)
    if waiting:
        yield waiting


def _runs(rows: Places) -> list[list[int]]:
    """Return [start, end) of each run of consecutive numbers."""
    last = np.append(np.flatnonzero(np.diff(rows) > 1), len(rows) - 1)
    first = np.append(0, last[:-1] + 1)
    runs: list[list[int]] = np.column_stack((rows[first], rows[last] + 1)).tolist()
    return runs
