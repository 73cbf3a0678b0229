"""Choose the negatives of a pair: judged ones first, then some that the rules kept. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medembed.mining.config import MiningConfig
from medembed.mining.rules import KEPT, Floats, Verdicts, Window


@dataclass(frozen=True)
class Negative:
    """A chosen corpus row with its scores by the model and, if asked, by the second opinion.

    `rank` counts from 0 among the documents that are no known positive; None for a judged one
    outside the window.
    """

    row_id: str
    score: float
    rank: int | None
    judged: bool = False
    second: float | None = None


def choose(
    kept: Sequence[int], rows: Sequence[str], query_id: str, config: MiningConfig, room: int
) -> list[int]:
    """Choose at most `room` of the ranks `kept`, in order of rank; `rows` [n] are the rows by rank.

    sample: those whose hash with seed and query is smallest, so that neither order nor shards nor
    the number of workers matter. spread: the first of each of `room` equal parts.
    """
    count = min(room, len(kept))
    if config.choice == "spread":
        return [kept[part * len(kept) // count] for part in range(count)]
    if config.choice == "sample":
        drawn = sorted(kept, key=lambda rank: _draw(config.seed, query_id, rows[rank]))
        return sorted(drawn[:count])
    return list(kept[:count])


def choose_negatives(
    query_id: str,
    window: Window,
    verdicts: Verdicts,
    seconds: Floats | None,
    judged: Sequence[Negative],
    config: MiningConfig,
) -> tuple[Negative, ...]:
    """Choose up to `config.negatives`: judged ones, the highest first, then of those that are KEPT.

    verdicts [n] are `sift`'s; `seconds` float64 [n] the second opinion's scores.
    """
    negatives = first_judged(judged, config)
    kept = np.flatnonzero(verdicts == KEPT).tolist()
    room = config.negatives - len(negatives)
    for rank in choose(kept, window.rows, query_id, config, room):
        second = None if seconds is None else float(seconds[rank])
        score = float(window.scores[rank])
        negatives.append(Negative(window.rows[rank], score, rank, second=second))
    return tuple(negatives)


def first_judged(judged: Sequence[Negative], config: MiningConfig) -> list[Negative]:
    """Take as many of a query's judged negatives as are asked for, the highest score first."""
    ordered = sorted(judged, key=lambda negative: (-negative.score, negative.row_id))
    return ordered[: config.negatives]


def _draw(seed: int, query_id: str, row_id: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), query_id, row_id)).encode()).digest()
