"""Exact top-k over shards: Ray Data spreads table fragments over actors, the driver merges their best lists."""

import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import check_dimensions, truncate
from medembed.progress import track
from medembed.search.topk import Ranking, merge, top_k
from medembed.spread import spread

Shard = TypeVar("Shard")
ReadShard = Callable[[Shard], tuple[list[str], npt.NDArray[np.float32]]]


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
    """{dimension: the k best rows of each query, or documents with `by_document`}, in one pass over the shards.

    `shards` are (shard, its rows) and `read` gives a shard's ids and embeddings [n, D]; queries [Q, D] have
    unit rows. At each dimension both sides are truncated. Raises ModelError for a dimension above D.
    """
    import ray

    check_dimensions(dimensions, queries.shape[1])
    items = [{"shard": shard, "rows": rows} for shard, rows in shards]
    arguments = {
        "read": read,
        "queries": ray.put(queries),
        "k": k,
        "dimensions": tuple(dimensions),
        "by_document": by_document,
    }
    best: dict[int, Ranking] = {}
    results = (
        (row["rows"], _unpack(row["rankings"])) for row in spread(items, SearchShard, arguments, workers=workers)
    )
    for rankings in track(results, sum(rows for _, rows in shards), "search", "documents"):
        for dimension, ranking in rankings.items():
            best[dimension] = merge(best[dimension], ranking, k) if dimension in best else ranking
    return best


class SearchShard:
    """Turns {shard, rows} into {rows, rankings}; the truncated queries stay in the actor."""

    def __init__(
        self, read: ReadShard[Any], queries: Any, k: int, dimensions: Sequence[int], by_document: bool
    ) -> None:
        import ray

        whole = ray.get(queries)
        self.read, self.k, self.by_document = read, k, by_document
        self.queries = {dimension: truncate(whole, dimension) for dimension in dimensions}

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        ids, vectors = self.read(item["shard"])
        names = np.asarray(ids, dtype=np.str_)
        rankings = {
            dimension: top_k(queries, names, truncate(vectors, dimension), self.k, by_document=self.by_document)
            for dimension, queries in self.queries.items()
        }
        return {"rows": item["rows"], "rankings": _pack(rankings)}


def _pack(rankings: dict[int, Ranking]) -> bytes:
    """Arrow has no column of 2-D string arrays, so that rankings travel as one NumPy archive without pickles."""
    buffer = io.BytesIO()
    arrays = {
        f"{part}_{dimension}": values
        for dimension, ranking in rankings.items()
        for part, values in vars(ranking).items()
        if values is not None
    }
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(packed: bytes) -> dict[int, Ranking]:
    parts: dict[int, dict[str, npt.NDArray[Any]]] = {}
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        for name in arrays.files:
            part, _, dimension = name.partition("_")
            parts.setdefault(int(dimension), {})[part] = arrays[name]
    return {dimension: Ranking(**named) for dimension, named in parts.items()}
