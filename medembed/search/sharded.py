"""Exact top-k over shards: Ray Data spreads table fragments over actors, the driver merges their best lists."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import check_dimensions, truncate
from medembed.progress import track
from medembed.schema import document_of
from medembed.search.topk import Best, Ranking, Rows, merge
from medembed.spread import spread

Shard = TypeVar("Shard")
ReadShard = Callable[[Shard], tuple[list[str], npt.NDArray[np.float32]]]
_ROWS_PER_ITEM = 32_768  # what a worker holds at a time: 50 MB of 384 dimensions
_ITEMS_PER_WORKER = 4  # so that all are busy to the end
_PAIRS_AT_ONCE = 8192


@dataclass(frozen=True)
class Pairs:
    """Query and document whose cosine is wanted, ranked high or not: queries int64 [P], rows of the queries' matrix,
    and documents [P], ids."""

    queries: npt.NDArray[np.int64]
    documents: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Scan:
    """What one pass found, by dimension: the best lists, and the cosines float64 [P] of the pairs asked for.

    A pair's cosine is that of the document's best chunk, NaN if no shard has the document.
    """

    rankings: dict[int, Ranking]
    cosines: dict[int, npt.NDArray[np.float64]]


def search_shards(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: npt.NDArray[np.float32],
    k: int,
    dimensions: Sequence[int],
    *,
    by_document: bool = False,
    workers: int = 2,
) -> dict[int, Ranking]:
    """{dimension: the k best rows of each query, or documents with `by_document`}, as `scan_shards` has them."""
    return scan_shards(shards, read, queries, k, dimensions, by_document=by_document, workers=workers).rankings


def scan_shards(
    shards: Sequence[tuple[Shard, int]],
    read: ReadShard[Shard],
    queries: npt.NDArray[np.float32],
    k: int,
    dimensions: Sequence[int],
    *,
    pairs: Pairs | None = None,
    by_document: bool = False,
    workers: int = 2,
) -> Scan:
    """Best lists and the cosines of pairs, in one pass over the shards.

    `shards` are (shard, its rows) and `read` gives a shard's ids and embeddings [n, D]; queries [Q, D] have
    unit rows. At each dimension both sides are truncated. How shards are dealt to workers changes nothing.
    Raises ModelError for a dimension above D.
    """
    import ray

    check_dimensions(dimensions, queries.shape[1])
    pairs = pairs or Pairs(np.zeros(0, np.int64), np.zeros(0, np.str_))
    items = _deal(shards, workers)
    arguments = {
        "read": read,
        "queries": ray.put(queries),
        "k": k,
        "dimensions": tuple(dimensions),
        "pairs": ray.put((pairs.queries, pairs.documents)),
        "by_document": by_document,
    }
    best: dict[int, Ranking] = {}
    cosines = {dimension: np.full(len(pairs.queries), np.nan) for dimension in dimensions}
    results = ((row["rows"], _unpack(row["found"])) for row in run_items(items, ScanShards, arguments, workers))
    for found in track(results, sum(rows for _, rows in shards), "search", "documents"):
        for dimension, ranking in found.rankings.items():
            best[dimension] = merge(best[dimension], ranking, k) if dimension in best else ranking
            cosines[dimension] = np.fmax(cosines[dimension], found.cosines[dimension])  # a NaN gives way
    return Scan(best, cosines)


def run_items(
    items: Sequence[dict[str, Any]], stage: type, arguments: dict[str, Any], workers: int
) -> Iterable[dict[str, Any]]:
    """What the stage makes of each item, in any order; one small item is done here, as an actor takes seconds to start.

    An item has `rows`, the rows that it reads.
    """
    if len(items) == 1 and items[0]["rows"] <= _ROWS_PER_ITEM:
        return [stage(**arguments)(items[0])]
    return spread(items, stage, arguments, workers=workers)


class ScanShards:
    """Turns {shards, rows} into {rows, found}; the truncated queries stay in the actor."""

    def __init__(
        self, read: ReadShard[Any], queries: Any, k: int, dimensions: Sequence[int], pairs: Any, by_document: bool
    ) -> None:
        import ray

        whole = ray.get(queries)
        self.read, self.k, self.by_document = read, k, by_document
        self.queries = {dimension: truncate(whole, dimension) for dimension in dimensions}
        self.pairs = Pairs(*ray.get(pairs))
        self.order = np.argsort(self.pairs.documents, kind="stable")
        self.wanted = self.pairs.documents[self.order]

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        parts = [self.read(shard) for shard in item["shards"]]
        ids = np.asarray([name for names, _ in parts for name in names], dtype=np.str_)
        rows_of_item = Rows.of(ids, by_document=self.by_document)
        best = {dimension: Best(len(queries), rows_of_item, self.k) for dimension, queries in self.queries.items()}
        cosines = {dimension: np.full(len(self.wanted), np.nan) for dimension in self.queries}
        start = 0
        for names, vectors in parts:
            pairs, rows = self._match(names)
            for dimension, queries in self.queries.items():
                documents = truncate(vectors, dimension)
                best[dimension].add(queries, documents, start)
                np.fmax.at(cosines[dimension], pairs, _dot(queries, self.pairs.queries[pairs], documents, rows))
            start += len(names)
        return {"rows": item["rows"], "found": _pack(rows_of_item, best, cosines)}

    def _match(self, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(pairs, rows): every pair whose document these rows [n] belong to, beside the row."""
        owners = np.asarray([document_of(name) for name in names] if self.by_document else names, dtype=np.str_)
        first, last = np.searchsorted(self.wanted, owners, "left"), np.searchsorted(self.wanted, owners, "right")
        counts = last - first
        rows = np.repeat(np.arange(len(names)), counts)
        within = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        return self.order[np.repeat(first, counts) + within], rows


def _dot(
    queries: npt.NDArray[np.float32],
    lines: npt.NDArray[np.int64],
    documents: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """The product of each query line with its document row [m], summed in float64."""
    products = np.empty(len(lines))
    for start in range(0, len(lines), _PAIRS_AT_ONCE):
        block = slice(start, start + _PAIRS_AT_ONCE)
        left, right = queries[lines[block]].astype(np.float64), documents[rows[block]].astype(np.float64)
        products[block] = (left * right).sum(axis=1)
    return products


def _deal(shards: Sequence[tuple[Shard, int]], workers: int) -> list[dict[str, Any]]:
    """Consecutive shards in items of about equal size, a few for each worker."""
    total = sum(rows for _, rows in shards)
    size = min(_ROWS_PER_ITEM, -(-total // (_ITEMS_PER_WORKER * workers)))
    items: list[dict[str, Any]] = []
    for shard, rows in shards:
        if not items or items[-1]["rows"] + rows > size:
            items.append({"shards": [], "rows": 0})
        items[-1]["shards"].append(shard)
        items[-1]["rows"] += rows
    return items


def _pack(rows: Rows, best: Mapping[int, Best], cosines: Mapping[int, npt.NDArray[np.float64]]) -> bytes:
    """One NumPy archive without pickles. Rows are named once: places in that list are far smaller than ids."""
    arrays: dict[str, npt.NDArray[Any]] = {"ids": rows.ids, "place": rows.place}
    arrays |= {} if rows.owners is None else {"owners": rows.owners}
    for dimension, one in best.items():
        arrays[f"places_{dimension}"], arrays[f"scores_{dimension}"] = one.found()
        arrays[f"cosines_{dimension}"] = cosines[dimension]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(packed: bytes) -> Scan:
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = dict(archive.items())
    rows = Rows(arrays["ids"], arrays["place"], arrays.get("owners"))
    dimensions = [int(name.removeprefix("places_")) for name in arrays if name.startswith("places_")]
    return Scan(
        {d: rows.rank(arrays[f"places_{d}"], arrays[f"scores_{d}"]) for d in dimensions},
        {d: arrays[f"cosines_{d}"] for d in dimensions},
    )
