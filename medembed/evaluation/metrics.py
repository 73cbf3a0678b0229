"""Compute ranking metrics per query from the grades of its ranking, as trec_eval does. Pure.

A new metric is a function and its line in METRICS; how people call it stands in `words`.

`grades` float [Q, depth]: the judged score of the document at each rank, 0 where it is not judged.
`positives` are each query's positive grades, all of them, found or not; a query has at least one.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.language import tr

Values = npt.NDArray[np.float64]
Grades = npt.NDArray[np.float64]
Positives = Sequence[Sequence[float]]


def ndcg(grades: Grades, positives: Positives, k: int) -> Values:
    """Return NDCG@k with linear gain and log2 discount (Järvelin and Kekäläinen 2002)."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.array(
        [np.dot(sorted(row, reverse=True)[:k], discounts[: min(k, len(row))]) for row in positives]
    )
    return np.asarray(grades[:, :k] @ discounts[: grades[:, :k].shape[1]] / ideal)


def recall(grades: Grades, positives: Positives, k: int) -> Values:
    """Return the share of the positives found in the first k."""
    return np.asarray(_hits(grades, k).sum(axis=1) / _counts(positives))


def precision(grades: Grades, positives: Positives, k: int) -> Values:
    """Return the share of positives among the first k; missing documents count as misses."""
    return np.asarray(_hits(grades, k).sum(axis=1) / k)


def f1(grades: Grades, positives: Positives, k: int) -> Values:
    """Return the harmonic mean of a query's precision and recall, 0 if both are."""
    return np.asarray(2 * _hits(grades, k).sum(axis=1) / (k + _counts(positives)))


def mrr(grades: Grades, positives: Positives, k: int) -> Values:
    """Return 1 / rank of the first positive, 0 if it is not in the first k."""
    hits = _hits(grades, k)
    return np.asarray(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0))


def average_precision(grades: Grades, positives: Positives, k: int) -> Values:
    """Return the mean over all positives of the precision at their rank, 0 for those past k.

    As trec_eval's map_cut and BEIR have it; sentence-transformers divides by min(k, positives)
    instead.
    """
    hits = _hits(grades, k)
    at_rank = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((at_rank * hits).sum(axis=1) / _counts(positives))


def accuracy(grades: Grades, positives: Positives, k: int) -> Values:
    """Return 1 if any positive is in the first k, else 0."""
    return np.asarray(_hits(grades, k).any(axis=1), dtype=np.float64)


METRICS: dict[str, Callable[[Grades, Positives, int], Values]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "mrr": mrr,
    "map": average_precision,
    "accuracy": accuracy,
}


VERSION = 1  # raised where a metric of the same name is computed otherwise


def identify_metrics() -> list[Any]:
    """Return what changes when a metric is added or computed otherwise, for a fingerprint."""
    return [VERSION, *METRICS]


def measure(grades: Grades, positives: Positives, depths: Sequence[int]) -> dict[str, Values]:
    """Return {"ndcg@10": a value per query, ...}: every metric at every depth."""
    values = {}
    for name, metric in METRICS.items():
        for k in depths:
            values[f"{name}@{k}"] = metric(grades, positives, k)
    return values


def is_lower_better(name: str) -> bool:
    """Say whether a metric is to be lowered: how often judged negatives are found."""
    return name.startswith("negative_accuracy")


def principal_metrics(metrics: Sequence[str]) -> list[str]:
    """Return those of the metrics measured that a summary shows, the objective first.

    NDCG and recall at 10, or at the smallest k measured; then those of other data shapes.
    """
    depths = sorted(int(name.rpartition("@")[2]) for name in metrics if name.startswith("ndcg@"))
    k = 10 if 10 in depths else next(iter(depths), 10)
    wanted = (
        f"ndcg@{k}",
        f"recall@{k}",
        "spearman",
        "knn_accuracy",
        "triplet_accuracy",
        f"negative_accuracy@{k}",
    )
    return [name for name in wanted if name in metrics]


def parse_metric(name: str) -> tuple[str, int]:
    """Split "ndcg@10" into ("ndcg", 10). Raises ValueError for what is no metric at a depth."""
    metric, _, depth = name.partition("@")
    if metric not in METRICS or not depth.isdecimal() or not 1 <= int(depth) <= 1000:
        raise ValueError(
            tr(
                "expected a metric at a depth from 1 to 1000, e.g. ndcg@10; metrics are {metrics}",
                metrics=", ".join(METRICS),
            )
        )
    return metric, int(depth)


def negative_accuracy(negatives: npt.NDArray[np.bool_], k: int) -> Values:
    """Return 1 if a document judged not relevant is in the first k, else 0: lower is better.

    `negatives` bool [Q, depth]: whether the document at each rank is judged not relevant.
    """
    return np.asarray(negatives[:, :k].any(axis=1), dtype=np.float64)


class Triplets(NamedTuple):
    """The share of a query's triplets that are right [Q], NaN without any; and how many [Q]."""

    right_share: Values
    triplets: Values


def triplet_accuracy(positives: Sequence[Values], negatives: Sequence[Values]) -> Triplets:
    """Return in how many triplets the positive has the higher cosine.

    A triplet is a query, one of its positives and one of its judged negatives, all combinations;
    equal cosines are not right. `positives` and `negatives` are each query's cosines.
    """
    right = np.zeros(len(positives))
    triplets = np.zeros(len(positives))
    for query, (high, low) in enumerate(zip(positives, negatives, strict=True)):
        right[query] = np.searchsorted(np.sort(low), high, side="left").sum()
        triplets[query] = len(high) * len(low)
    share = np.divide(right, triplets, out=np.full(len(right), np.nan), where=triplets > 0)
    return Triplets(share, triplets)


def _hits(grades: Grades, k: int) -> npt.NDArray[np.bool_]:
    return np.asarray(grades[:, :k] > 0)


def _counts(positives: Positives) -> npt.NDArray[np.int64]:
    return np.array([len(row) for row in positives])
