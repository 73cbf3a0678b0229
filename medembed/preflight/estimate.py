"""Estimate recall@10 and NDCG@10 on a corpus from a sample of its documents. Pure.

Measured on the sample itself they would be far too high: fewer documents, fewer that beat the
positive. On the Human Phenotype Ontology (16,449 documents, recall@10 0.68) a sample of 2,000 says
0.86. Metrics of a sample are not those of the whole (Krichene and Rendle 2020, doi
10.1145/3394486.3403226).

So each positive's rank is taken as what the sample shows plus what it does not. Shown are the
positives of all sampled queries, which are in the sample on purpose, and the drawn documents. Not
shown are `unseen` others, of which each beats the positive with the chance that a drawn one does,
since the drawn are a fair sample of them; the number that does is Poisson, and recall and NDCG are
expectations over it. With nothing unseen both are exact. That chance is a share where at least TAIL
drawn documents beat the positive. Nearer to the top a share is too coarse (where one document in
nine is drawn, a positive that none beats may have rank 1 or 20), so the scores above the TAIL-th
best are taken as a generalised Pareto tail (Pickands 1975), its scale each query's own, its shape
that of all queries together.

Measured on that ontology, on MedQuAD (2,502 documents, recall 0.94) and on random vectors, four
draws each: with 4 to 70 documents for one drawn, the estimate was 0.000 to 0.025 too low in the
mean. Scaling up the count of drawn documents alone was between 0.05 too low and 0.12 too high.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from medembed.schema import document_of, own_document

K = 10
TAIL = 20  # best drawn documents, on which the tail is fitted
# of an estimate from a sample of documents, beyond the choice of queries: see above
SAMPLING_ERROR = 0.03
_UNSURE = 0.05  # of a 95% interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """A value per query, float64 [Q], and each positive's chance to be among the first ten.

    `outranked` is the share of the other documents that rank before a positive: 0.5 by chance.
    """

    recall: Floats
    ndcg: Floats
    outranked: Floats
    chances: tuple[dict[str, float], ...]


def estimate(
    queries: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    row_ids: Sequence[str],
    drawn: int,
    positives: Sequence[dict[str, float]],
    unseen: int,
    query_ids: Sequence[str] = (),
) -> Estimates:
    """Estimate how well each query finds its positives in the whole corpus, at document level.

    queries [Q, D] and rows [n, D] have unit rows; the last `drawn` rows are those of drawn
    documents. A document scores as its best row; ties go to the smaller id. positives [Q] are
    {document_id: grade above 0}; one that has no row counts as not found, behind all others.
    `unseen` is the number of documents that have no row here. By its id a query is kept from
    finding its own text.
    """
    names, owner = np.unique(list(map(document_of, row_ids)), return_inverse=True)
    scores = np.full((len(names), len(queries)), -np.inf, dtype=np.float32)
    np.maximum.at(scores, owner, rows @ queries.T)
    row_of = {name: row for row, name in enumerate(names.tolist())}
    for number, own in enumerate(map(own_document, query_ids)):
        if own in row_of:
            scores[row_of[own], number] = -np.inf
    is_drawn = np.zeros(len(names), dtype=bool)
    is_drawn[owner[len(row_ids) - drawn :]] = True
    tails = -np.sort(-scores[is_drawn].T.astype(np.float64), axis=1)
    shape = fit_shape(tails)
    others = max(len(names) + unseen - 1, 1)
    recall = np.zeros(len(queries))
    ndcg = np.zeros(len(queries))
    outranked = np.ones(len(queries))
    shown: list[dict[str, float]] = [dict.fromkeys(grades, 0.0) for grades in positives]
    for number, (column, tail, grades) in enumerate(zip(scores.T, tails, positives, strict=True)):
        for name, grade in grades.items():
            if name in row_of:
                row = row_of[name]
                score = column[row]
                ahead = int((column > score).sum() + (column[:row] == score).sum())
                expected = unseen * share_above(tail, float(score), shape)
                chances = _rank_chances(ahead, expected)
                shown[number][name] = float(chances.sum())
                recall[number] += chances.sum() / len(grades)
                ndcg[number] += grade * (chances @ _DISCOUNTS)
                outranked[number] -= (1 - (ahead + expected) / others) / len(grades)
        ndcg[number] /= np.dot(sorted(grades.values(), reverse=True)[:K], _DISCOUNTS[: len(grades)])
    return Estimates(recall, ndcg, outranked, tuple(shown))


def fit_shape(scores: Floats) -> float:
    """Fit the shape of the tail that all queries share, by moments (Hosking and Wallis 1987).

    scores [Q, n], highest first. 0 is exponential. A tail's second moment over its squared mean is
    2 (1 - shape) / (1 - 2 shape).
    """
    depth = min(TAIL, scores.shape[1] - 1)
    if depth < 2:
        return 0.0
    excesses = scores[:, :depth] - scores[:, depth : depth + 1]
    squares = depth * np.square(excesses.mean(axis=1)).sum()
    if squares <= 0:
        return 0.0
    ratio = float(np.square(excesses).sum() / squares)
    # a mean of few varies itself
    ratio = ratio * (1 - 1 / depth) / (1 - ratio / depth) if ratio < depth else math.inf
    return 0.4 if ratio == math.inf else min(max((ratio - 2) / max(2 * ratio - 2, 1e-9), -1.0), 0.4)


def share_above(scores: Floats, threshold: float, shape: float) -> float:
    """Estimate the share of documents above the threshold; `scores`, highest first, are drawn."""
    depth = min(TAIL, len(scores) - 1)
    if depth < 1 or threshold <= scores[depth]:
        return float((scores > threshold).mean()) if len(scores) else 0.0
    scale = float(scores[:depth].mean() - scores[depth]) * (1 - shape)
    if scale <= 0:
        return 0.0
    height = float(threshold - scores[depth]) / scale
    if abs(shape) < 1e-6:
        return depth / len(scores) * math.exp(-height)
    return depth / len(scores) * max(1 + shape * height, 0.0) ** (-1 / shape)


def interval(
    values: Floats, groups: Sequence[str], *, is_sampled: bool, together: int = 1
) -> MeanInterval:
    """Return the mean with Wilson's interval (1927) for as many trials as there are groups.

    Queries of one group are not independent, so a group counts once: too wide rather than too
    narrow. Shares of positives vary less than yes and no, which widens it too. Where documents are
    a sample, SAMPLING_ERROR is added. `together` such intervals hold at once in 95% of all draws
    (Bonferroni).
    """
    count = len(set(groups))
    mean = float(values.mean())
    z = reach(together)
    centre = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    )
    margin = SAMPLING_ERROR if is_sampled else 0.0
    return MeanInterval(mean, max(centre - half - margin, 0.0), min(centre + half + margin, 1.0))


def ratio_interval(
    values: Floats, to: Floats, groups: Sequence[str], *, together: int = 1
) -> MeanInterval:
    """Return the ratio of two means over the same queries, with its 95% interval.

    Cochran 1977, 6.3: groups vary, not queries; what makes a query hard for both cancels out.
    """
    names, position = np.unique(np.asarray(groups), return_inverse=True)
    ratio = float(values.sum() / to.sum())
    rest = np.bincount(position, weights=values - ratio * to)
    error = math.sqrt(len(names) / (len(names) - 1) * float(np.square(rest).sum())) / float(
        to.sum()
    )
    half = reach(together) * error
    return MeanInterval(ratio, max(ratio - half, 0.0), ratio + half)


def reach(together: int) -> float:
    """Return the standard errors to each side of an interval, `together` of which hold at once."""
    return NormalDist().inv_cdf(1 - _UNSURE / 2 / together)


_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
_FACTORIALS = np.array(list(map(math.factorial, range(K))), dtype=np.float64)


def _rank_chances(ahead: int, expected: float) -> Floats:
    """Return the chance of each rank [K] behind `ahead` documents and Poisson(expected) more."""
    chances = np.zeros(K)
    if ahead < K:
        counts = np.arange(K - ahead)
        chances[ahead:] = math.exp(-expected) * expected**counts / _FACTORIALS[: K - ahead]
    return chances
