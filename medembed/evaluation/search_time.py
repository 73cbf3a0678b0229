"""How long exact search takes at each dimension, measured side by side. Pure."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import truncate


def nearest(query: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """The k rows [k] of `vectors` [N, D] with the highest product with `query` [D], best first; exact.

    What a service without an index does for one query: one product, one partition. Fewer rows give fewer.
    """
    scores = vectors @ query
    k = min(k, len(scores))
    candidates = np.argpartition(scores, len(scores) - k)[len(scores) - k :]
    return candidates[np.argsort(-scores[candidates], kind="stable")]


def measure_search(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    dimensions: Sequence[int],
    *,
    k: int = 10,
    repeats: int = 5,
) -> dict[int, float]:
    """{dimension: median milliseconds of one query's exact search}; linear in the number of vectors.

    vectors float32 [N, D], queries float32 [Q, D], both with rows. Vectors are cut beforehand: N x 4 bytes x the sum
    of the dimensions are in memory. Dimensions take turns in each repeat, so that a machine that slows down slows
    all; each turn starts with a query that is not counted, since the last dimension's vectors fill the cache.
    """
    tables = {d: (truncate(vectors, d), truncate(queries, d)) for d in dimensions}
    seconds: dict[int, list[float]] = {d: [] for d in dimensions}
    for _ in range(repeats):
        for dimension, (documents, cut) in tables.items():
            nearest(cut[0], documents, k)
            for query in cut:
                start = time.perf_counter()
                nearest(query, documents, k)
                seconds[dimension].append(time.perf_counter() - start)
    return {d: float(np.median(times)) * 1000 for d, times in seconds.items()}
