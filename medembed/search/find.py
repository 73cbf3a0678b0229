"""Find documents exactly, by a funnel, or by a vector index; measure what the last two miss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic

from medembed.errors import ConfigError
from medembed.matryoshka import check_trained
from medembed.search.float64_scores import Vectors
from medembed.search.funnel import Funnel, funnel_search
from medembed.search.in_memory import RowsInMemory
from medembed.search.indexed import Nearest, index_search
from medembed.search.quality import Search, SearchQuality, measure_search
from medembed.search.ranking import Ranking
from medembed.search.shards import rank_shards
from medembed.search.stripe import ReadShard, Shard


@dataclass(frozen=True)
class Way:
    """How documents are found: the `dimensions` that rank, and what looks at less than all rows."""

    dimensions: int
    funnel: Funnel | None = None
    by_index: bool = False


@dataclass(frozen=True)
class SearchedTable(Generic[Shard]):
    """What is searched: shards with their rows, what reads one, and what asks the index if any.

    `hold` reads the codes of a first pass into memory, if the funnel begins with codes.
    """

    shards: Sequence[tuple[Shard, int]]
    read: ReadShard[Shard]
    nearest: Nearest | None = None
    hold: Callable[[], RowsInMemory] | None = None


@dataclass(frozen=True)
class MeasuredRanking:
    """The documents of each query, and how good the search was if that was measured."""

    ranking: Ranking
    quality: SearchQuality | None


def check_way(way: Way, k: int, width: int, trained: Sequence[int]) -> None:
    """Raise ModelError or ConfigError for a way that vectors of this width do not allow."""
    if way.by_index and way.dimensions < width:
        raise ConfigError(
            "dimensions: found {dimensions}, but the index has all {width}; leave out "
            "dimensions or use_index.",
            dimensions=way.dimensions,
            width=width,
        )
    if way.funnel is None:
        check_trained([way.dimensions], trained, width)
        return
    check_trained([way.funnel.first_dimensions, way.dimensions], trained, width)
    way.funnel.check(k, width)


def find_documents(
    table: SearchedTable[Shard],
    queries: Vectors,
    k: int,
    way: Way,
    *,
    workers: int,
    measure: bool = False,
) -> MeasuredRanking:
    """Return the k best documents of each query [Q, width], compared with exact search if asked."""

    def exact(asked: Vectors) -> Ranking:
        ranked = rank_shards(
            table.shards,
            table.read,
            asked,
            k,
            [way.dimensions],
            by_document=True,
            workers=workers,
        )
        return ranked[way.dimensions]

    def by_codes(asked: Vectors) -> Ranking:
        assert table.hold is not None, "a first pass by codes has them in memory"
        assert way.funnel is not None
        return table.hold().funnel(asked, k, way.funnel)

    search: Search = exact
    if table.nearest is not None:
        search = partial(index_search, table.nearest, k=k, by_document=True)
    elif way.funnel is not None and way.funnel.first_codes:
        search = by_codes
    elif way.funnel is not None:
        search = partial(
            funnel_search,
            table.shards,
            table.read,
            k=k,
            funnel=way.funnel,
            by_document=True,
            workers=workers,
        )
    quality = measure_search(search, exact, queries) if measure else None
    return MeasuredRanking(search(queries), quality)
