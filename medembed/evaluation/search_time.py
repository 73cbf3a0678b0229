"""Measure how long a server's exact search takes at each dimension, side by side. Pure."""

import time
from collections.abc import Sequence

import numpy as np

from medembed.search.float64_scores import Vectors
from medembed.search.in_memory import RowsInMemory


def measure_search(
    vectors: Vectors, queries: Vectors, dimensions: Sequence[int], *, k: int = 10, repeats: int = 5
) -> dict[int, float]:
    """Return {dimension: median milliseconds of one query's exact search}; linear in the number of
    vectors.

    vectors float32 [N, D], queries float32 [Q, D], both with rows. Dimensions take turns in each
    repeat, so that a machine that slows down slows all; each turn starts with a query that is not
    counted, since the last dimension's vectors fill the cache.
    """
    rows = RowsInMemory(
        [str(number) for number in range(len(vectors))], [vectors], vectors.shape[1], dimensions
    )
    seconds: dict[int, list[float]] = {dimension: [] for dimension in dimensions}
    for _ in range(repeats):
        for dimension in dimensions:
            rows.search(queries[:1], k, dimension)
            for number in range(len(queries)):
                start = time.perf_counter()
                rows.search(queries[number : number + 1], k, dimension)
                seconds[dimension].append(time.perf_counter() - start)
    return {dimension: float(np.median(times)) * 1000 for dimension, times in seconds.items()}
