"""Paired bootstrap over groups: how sure the difference between two models is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CHUNK = 64  # resamples drawn at once: bounds memory at 64 x groups


@dataclass(frozen=True)
class Difference:
    """Mean of `after - before` over queries, with its 95% interval."""

    before: float
    after: float
    mean: float
    low: float
    high: float


def compare(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], groups: Sequence[str], *, samples: int, seed: int
) -> Difference:
    """The mean difference over queries with the percentile interval of a cluster bootstrap.

    before, after float [Q]: one metric of the same queries under two models; groups [Q]. Whole groups are
    drawn with replacement, since queries of one group (synonyms of one term) are not independent, and each
    draw's mean weighs every query alike (Efron and Tibshirani 1993, chapter 8; Field and Welsh 2007).
    """
    names, position = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(position).astype(np.float64)
    sums = np.bincount(position, weights=after - before)
    generator = np.random.default_rng(seed)
    means: list[npt.NDArray[np.float64]] = []
    for start in range(0, samples, _CHUNK):
        drawn = generator.multinomial(
            len(names), np.full(len(names), 1 / len(names)), size=min(_CHUNK, samples - start)
        )
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Difference(
        float(before.mean()), float(after.mean()), float((after - before).mean()), float(low), float(high)
    )
