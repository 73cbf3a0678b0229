"""Measure what eight bits cost a model: its ranking of the dev sample, and its speed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medembed.encoding.encoder import Encoder
from medembed.errors import ModelError
from medembed.evaluation.sample import Sample, encode_sample, score_sample

METRIC = "ndcg@10"


@dataclass(frozen=True)
class Scores:
    """{dimension: mean NDCG@10 of the sample's queries}, and the texts encoded in a second."""

    by_dimension: dict[int, float]
    texts_per_s: float


def score(encoder: Encoder, sample: Sample, dimensions: Sequence[int]) -> Scores:
    """Return the scores of an encoder at these dimensions."""
    encoder.encode(["warm up"])
    start = time.perf_counter()
    vectors = encode_sample(sample, encoder.encode)
    seconds = time.perf_counter() - start
    scored = score_sample(sample, *vectors, dimensions, METRIC)
    means = {dimension: float(np.mean(values)) for dimension, values in scored.items()}
    texts = len(sample.queries) + len(sample.documents)
    return Scores(means, texts / seconds)


def check_loss(
    before: Mapping[int, float], after: Mapping[int, float], tolerance: float, model: str
) -> None:
    """Raise ModelError if a score fell by more than the tolerance at any dimension."""
    failing: dict[int, float] = {}
    for dimension in before:
        lost = before[dimension] - after[dimension]
        if not lost <= tolerance:  # also for NaN
            failing[dimension] = lost
    if failing:
        worst = max(failing, key=lambda dimension: failing[dimension])
        raise ModelError(
            "model {model}: in int8 NDCG@10 on the dev sample falls by {lost:.4f} at {dimension} "
            "dimensions, from {before:.4f} to {after:.4f}; the tolerance is {tolerance}, and "
            "nothing was written. Serve it without int8, or allow more with tolerance=...",
            model=model,
            lost=failing[worst],
            dimension=worst,
            before=before[worst],
            after=after[worst],
            tolerance=tolerance,
        )
