"""Which of a query's nearest documents are hard negatives: the margin rule. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from medembed.mining.config import MiningConfig


@dataclass(frozen=True)
class Negative:
    """A chosen document; `rank` counts from 0 among the documents that are no known positive."""

    document_id: str
    score: float
    rank: int


@dataclass(frozen=True)
class Choice:
    """Negatives of a query, hardest first, and how many candidates the margin refused."""

    negatives: tuple[Negative, ...]
    too_close: int


def choose_negatives(
    candidates: Sequence[tuple[str, float]],
    positive_score: float,
    positives: Collection[str],
    config: MiningConfig,
    *,
    copies: Collection[str] = (),
) -> Choice:
    """The hardest candidates that are no known positive, in the rank window and below the margin.

    `candidates` are (document id, score), best first. A candidate scoring above
    positive - margin x |positive| is likely an unjudged positive (Moreira et al. 2024, arXiv:2407.15831,
    there score < 0.95 positive, which keeps too much when scores are negative; the absolute value mends that).
    `copies` are refused as if they did: they were found by the positive's own text, which a margin of 0 lets pass.
    """
    unknown = [pair for pair in candidates if pair[0] not in positives][: config.window]
    limit = positive_score - config.margin * abs(positive_score)
    kept = [
        Negative(name, score, rank)
        for rank, (name, score) in enumerate(unknown)
        if score <= limit and name not in copies
    ]
    return Choice(tuple(kept[: config.negatives]), too_close=len(unknown) - len(kept))
