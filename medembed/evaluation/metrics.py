"""Ranking metrics per query, from the grades of its ranked documents. Pure.

`grades` float [Q, k]: the judged score of the document at each rank, 0 where it is not judged.
`judged` are each query's positive grades, all of them, found or not.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Grades = npt.NDArray[np.float64]


def ndcg(grades: Grades, judged: Sequence[Sequence[float]], k: int) -> Values:
    """NDCG@k with linear gain and log2 discount, as trec_eval has it (Järvelin and Kekäläinen 2002)."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.array([np.dot(sorted(row, reverse=True)[:k], discounts[: min(k, len(row))]) for row in judged])
    return np.asarray(grades[:, :k] @ discounts[: grades[:, :k].shape[1]] / ideal)


def recall(grades: Grades, judged: Sequence[Sequence[float]], k: int) -> Values:
    """Share of the positives found in the first k."""
    return np.asarray((grades[:, :k] > 0).sum(axis=1) / _counts(judged))


def mrr(grades: Grades, judged: Sequence[Sequence[float]], k: int) -> Values:
    """1 / rank of the first positive, 0 if it is not in the first k."""
    hits = grades[:, :k] > 0
    return np.asarray(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0))


def average_precision(grades: Grades, judged: Sequence[Sequence[float]], k: int) -> Values:
    """Mean over the positives of the precision at their rank, 0 for those past k; over min(k, positives)."""
    hits = grades[:, :k] > 0
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((precision * hits).sum(axis=1) / np.minimum(_counts(judged), k))


def accuracy(grades: Grades, judged: Sequence[Sequence[float]], k: int) -> Values:
    """1 if any positive is in the first k, else 0."""
    return np.asarray((grades[:, :k] > 0).any(axis=1), dtype=np.float64)


METRICS: dict[str, tuple[Callable[[Grades, Sequence[Sequence[float]], int], Values], int]] = {
    "ndcg@10": (ndcg, 10),
    "recall@10": (recall, 10),
    "recall@100": (recall, 100),
    "mrr@10": (mrr, 10),
    "map@100": (average_precision, 100),
    "accuracy@1": (accuracy, 1),
}
DEPTH = max(k for _, k in METRICS.values())


def measure(grades: Grades, judged: Sequence[Sequence[float]]) -> dict[str, Values]:
    """Every metric of METRICS, a value per query."""
    return {name: metric(grades, judged, k) for name, (metric, k) in METRICS.items()}


def _counts(judged: Sequence[Sequence[float]]) -> npt.NDArray[np.int64]:
    return np.array([len(row) for row in judged])
