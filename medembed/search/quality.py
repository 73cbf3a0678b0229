"""What a search that looks at less than everything misses of exact search, and what it saves."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.search.ranking import Ranking

Search = Callable[[npt.NDArray[np.float32]], Ranking]


@dataclass(frozen=True)
class SearchQuality:
    """What a search finds of exact search's best k, a mean over queries, and its seconds.

    Seconds are those of the whole search: workers that start and shards that are read included.
    """

    recall: float
    queries: int
    seconds: float
    exact_seconds: float


def measure_search(
    search: Search, exact: Search, queries: npt.NDArray[np.float32], *, sample: int = 200
) -> SearchQuality:
    """Run exact search, then the other, for at most `sample` evenly spaced queries [Q, D]."""
    chosen = queries[
        np.unique(np.linspace(0, len(queries) - 1, min(sample, len(queries))).astype(np.int64))
    ]
    start = time.perf_counter()
    best = exact(chosen)
    middle = time.perf_counter()
    ranking = search(chosen)
    end = time.perf_counter()
    return SearchQuality(recall_of(ranking, best), len(chosen), end - middle, middle - start)


def recall_of(ranking: Ranking, exact: Ranking) -> float:
    """Return the mean share of exact search's ids that a ranking has; 1 for a query without any."""
    shares = []
    for names, wanted in zip(ranking.ids.tolist(), exact.ids.tolist(), strict=True):
        best = set(wanted) - {""}
        shares.append(len(best & set(names)) / len(best) if best else 1.0)
    return float(np.mean(shares)) if shares else 1.0
