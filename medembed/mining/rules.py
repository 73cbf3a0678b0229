"""Say which of a query's nearest documents may be negatives of a pair, rule by rule. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.language import to_translate
from medembed.mining.config import MiningConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Verdicts = npt.NDArray[np.int8]
# In this order: a candidate counts under the first that refuses it.
RULES = (
    to_translate("same content as a positive"),
    to_translate("same words as a positive"),
    to_translate("same words as a nearer document"),
    to_translate("before first_rank"),
    to_translate("above the margin"),
    to_translate("above max_score"),
    to_translate("below min_score"),
)
KNOWN_POSITIVE = to_translate("known positive")  # by id: no candidate, and takes no rank
KEPT, JUDGED = -1, -2  # what no rule refuses; what is a negative already, as somebody judged it
SAME_CONTENT, SAME_WORDS, REPEATED, BEFORE_FIRST, ABOVE_MARGIN, ABOVE_MAX, BELOW_MIN = range(
    len(RULES)
)


@dataclass(frozen=True)
class Window:
    """A query's nearest documents that are no known positive, best first; the place is the rank.

    `rows` are the corpus rows by which they were found (themselves, or their best chunks), `scores`
    float64 [n]. `positives_passed` counts the known positives among the documents looked at.
    """

    documents: Sequence[str]
    rows: Sequence[str]
    scores: Floats
    positives_passed: int


def take_window(
    documents: Sequence[str],
    rows: Sequence[str],
    scores: Floats,
    positives: Collection[str],
    window: int,
) -> Window:
    """Take the first `window` documents that are no known positive by id; all [n], best first.

    A copy of a positive under another id keeps its rank: what it says is not known before texts are
    read.
    """
    others = [place for place, name in enumerate(documents) if name not in positives]
    kept = others[:window]
    looked_at = kept[-1] + 1 if len(kept) == window else len(documents)
    return Window(
        [documents[place] for place in kept],
        [rows[place] for place in kept],
        scores[kept],
        looked_at - len(kept),
    )


def find_copies(
    content: Ints, words: Ints, positive_content: Ints, positive_words: Ints
) -> Verdicts:
    """Compare candidates [n] with the known positives [m]: SAME_CONTENT, SAME_WORDS or KEPT.

    Texts come as numbers: equal texts have equal `content`, texts of the same words and signs equal
    `words`.
    """
    copies = np.where(np.isin(words, positive_words), SAME_WORDS, KEPT)
    return np.where(np.isin(content, positive_content), SAME_CONTENT, copies).astype(np.int8)


def find_repeats(
    content: Ints, words: Ints, judged_content: Ints, judged_words: Ints
) -> npt.NDArray[np.bool_]:
    """Say which candidates [n], nearest first, repeat a nearer one or a judged negative [m].

    Numbers as in `find_copies`.
    """
    repeats = np.isin(content, judged_content) | np.isin(words, judged_words)
    for numbers in (content, words):
        is_first = np.zeros(len(numbers), dtype=np.bool_)
        is_first[np.unique(numbers, return_index=True)[1]] = True
        repeats |= ~is_first
    return repeats


def highest_score(positive: float, config: MiningConfig) -> float:
    """Return what a negative of a positive with this score may score at most, by the margins.

    Relative: positive - margin x |positive - margin_from| (Moreira et al. 2024, arXiv:2407.15831,
    there score < 0.95 positive, which would let a negative stand above a positive whose score is
    negative; the absolute value mends that).
    """
    limits = [np.inf]
    if config.margin is not None:
        limits.append(positive - config.margin * abs(positive - (config.margin_from or 0.0)))
    if config.margin_absolute is not None:
        limits.append(positive - config.margin_absolute)
    return float(min(limits))


def sift(scores: Floats, known: Verdicts, positive: float, config: MiningConfig) -> Verdicts:
    """Return for each candidate [n] of a pair the first rule that refuses it, or KEPT.

    `known` is what holds for all pairs of the query (a copy of a positive, REPEATED, JUDGED, or
    KEPT). `scores` are those that judge, and `positive` is the positive's by the same model.
    """
    above = np.inf if config.max_score is None else config.max_score
    below = -np.inf if config.min_score is None else config.min_score
    refusals = {
        BEFORE_FIRST: np.arange(len(scores)) < config.first_rank,
        ABOVE_MARGIN: scores > highest_score(positive, config),
        ABOVE_MAX: scores > above,
        BELOW_MIN: scores < below,
    }
    here = np.select(list(refusals.values()), list(refusals), default=KEPT)
    return np.where(known == KEPT, here, known).astype(np.int8)
