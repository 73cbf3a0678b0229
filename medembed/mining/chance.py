"""Measure how a model scores random pairs of texts: a positive's score counts from there.

With most models two random texts have a cosine near 0. With E5 it is near 0.8 and a positive's 0.9:
5% of that is half the way to a random text, and refuses what a hard negative is.
"""

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from medembed.language import tr
from medembed.mining.config import MiningConfig
from medembed.mining.judgments import JudgedDocument
from medembed.mining.pairs import Pair

logger = logging.getLogger(__name__)

_PAIRS = 256  # their mean is within 0.01
_HIGH = 0.5


def pair_by_chance(
    pairs: Sequence[Pair], known: Mapping[str, Collection[str]]
) -> list[JudgedDocument]:
    """Return queries with another query's positive, at most 256; `known` are the right answers.

    The order of `pairs` is a hash's, so that one of half the list away is a random one.
    """
    random = []
    for number, pair in enumerate(pairs[:_PAIRS]):
        document_id = pairs[(number + len(pairs) // 2) % len(pairs)].positive_id
        if document_id not in known[pair.query_id]:
            random.append(JudgedDocument(pair.query_id, document_id))
    return random


def settle_margin(config: MiningConfig, scores: Sequence[float]) -> MiningConfig:
    """Return the config with the score that margins count from; `scores` are of random pairs."""
    if config.margin_from is not None:
        return config
    mean = float(np.mean(scores)) if scores else 0.0
    start = mean if mean > _HIGH else 0.0
    logger.info(
        tr(
            "random pairs score {mean:.2f} on average: mining.margin={margin} counts from "
            "{start:.2f}",
            mean=mean,
            margin=config.margin,
            start=start,
        )
    )
    return config.model_copy(update={"margin_from": start})
