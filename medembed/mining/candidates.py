"""Sort a query's nearest documents and judged negatives, and make a pair's example of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medembed.mining.config import MiningConfig
from medembed.mining.examples import Example
from medembed.mining.judgments import Positive, ScoredRow
from medembed.mining.negatives import Negative, choose_negatives, first_judged
from medembed.mining.pairs import Pair
from medembed.mining.rules import (
    JUDGED,
    KEPT,
    REPEATED,
    Floats,
    Verdicts,
    Window,
    find_copies,
    find_repeats,
    sift,
)
from medembed.mining.texts import CorpusRows
from medembed.schema import document_of


@dataclass(frozen=True)
class Candidates:
    """A query's window [n] with the verdicts that hold for all its pairs.

    A verdict is a copy of a positive, JUDGED, REPEATED, or KEPT. `judged` are the negatives that
    somebody judged, those that copy a positive left out.
    """

    window: Window
    verdicts: Verdicts
    judged: tuple[Negative, ...]

    def to_score(self, config: MiningConfig) -> list[str]:
        """Return the rows that a second opinion is asked about, the positives aside."""
        free = np.flatnonzero(self.verdicts == KEPT)
        ranks = free[free >= config.first_rank].tolist()
        judged = [negative.row_id for negative in first_judged(self.judged, config)]
        return judged + [self.window.rows[rank] for rank in ranks]


@dataclass(frozen=True)
class Outcome:
    """An example, and what was decided of each document of the window [n].

    `judging` are the scores that the margins looked at, and `limit_of` the positive's by the same
    model; `seconds` are the second opinion's scores (NaN: not asked), None without one.
    """

    example: Example
    window: Window
    verdicts: Verdicts
    judging: Floats
    limit_of: float
    seconds: Floats | None


def gather_candidates(
    window: Window, positives: Sequence[str], judged: Sequence[ScoredRow], rows: CorpusRows
) -> Candidates:
    """Find copies of the positives, judged documents and repeats in a query's window.

    `positives` are all rows of the query's known positives, `judged` those of its judged negatives.
    """
    rank_of = {name: rank for rank, name in enumerate(window.documents)}
    of_judged = _find_copies([row.row_id for row in judged], positives, rows)
    negatives = []
    for row, copy in zip(judged, of_judged.tolist(), strict=True):
        if copy == KEPT:
            rank = rank_of.get(document_of(row.row_id))
            negatives.append(Negative(row.row_id, row.score, rank, judged=True))
    distinct = _drop_repeats(negatives, rows)

    verdicts = _find_copies(window.rows, positives, rows)
    documents = {document_of(negative.row_id) for negative in negatives}
    is_judged = np.array([name in documents for name in window.documents], dtype=np.bool_)
    verdicts = np.where(is_judged & (verdicts == KEPT), JUDGED, verdicts)
    lines = rows.lines(window.rows)
    kept = rows.lines([negative.row_id for negative in distinct])
    repeats = find_repeats(
        rows.content[lines], rows.words[lines], rows.content[kept], rows.words[kept]
    )
    verdicts = np.where((verdicts == KEPT) & repeats, REPEATED, verdicts)
    return Candidates(window, verdicts.astype(np.int8), distinct)


def make_example(
    pair: Pair,
    positive: Positive,
    candidates: Candidates,
    second: Mapping[str, float] | None,
    config: MiningConfig,
) -> Outcome:
    """Make the pair's example; `second` {row: score by the second opinion} if one was asked."""
    window = candidates.window
    judged = candidates.judged
    seconds = None
    judging = window.scores
    limit_of = positive.score
    if second is not None:
        seconds = np.array([second.get(name, np.nan) for name in window.rows], dtype=np.float64)
        positive = replace(positive, second=second[positive.row_id])
        judged = tuple(
            replace(negative, second=second[negative.row_id])
            for negative in first_judged(judged, config)
        )
        if config.second_judges:
            judging = seconds
            limit_of = second[positive.row_id]
    verdicts = sift(judging, candidates.verdicts, limit_of, config)
    negatives = choose_negatives(pair.query_id, window, verdicts, seconds, judged, config)
    example = Example(pair.query_id, pair.query, positive, negatives)
    return Outcome(example, window, verdicts, judging, limit_of, seconds)


def _drop_repeats(judged: Sequence[Negative], rows: CorpusRows) -> tuple[Negative, ...]:
    """Keep the highest of those that say the same."""
    judged = sorted(judged, key=lambda negative: (-negative.score, negative.row_id))
    lines = rows.lines([negative.row_id for negative in judged])
    nothing = np.zeros(0, dtype=np.int64)
    repeats = find_repeats(rows.content[lines], rows.words[lines], nothing, nothing)
    kept = zip(judged, repeats.tolist(), strict=True)
    return tuple(negative for negative, is_repeat in kept if not is_repeat)


def _find_copies(row_ids: Sequence[str], positives: Sequence[str], rows: CorpusRows) -> Verdicts:
    lines = rows.lines(row_ids)
    known = rows.lines(positives)
    return find_copies(
        rows.content[lines], rows.words[lines], rows.content[known], rows.words[known]
    )
