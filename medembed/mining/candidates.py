"""What is around a query: its nearest documents and its judged negatives, and the example that a
pair makes of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medembed.mining.config import MiningConfig
from medembed.mining.examples import Example
from medembed.mining.negatives import Negative, choose_negatives, first_judged
from medembed.mining.pairs import Pair
from medembed.mining.positives import Positive
from medembed.mining.rules import (
    JUDGED,
    KEPT,
    REPEATED,
    Candidates,
    Floats,
    Verdicts,
    find_copies,
    find_repeats,
    sift,
)
from medembed.mining.texts import CorpusRows
from medembed.schema import document_of


@dataclass(frozen=True)
class Surroundings:
    """A query's candidates [n] with what holds of each for all its pairs: `known`, a copy of a
    positive, JUDGED, REPEATED, or KEPT. `judged` are the negatives that somebody judged, those that
    copy a positive left out.
    """

    candidates: Candidates
    known: Verdicts
    judged: tuple[Negative, ...]

    def to_score(self, config: MiningConfig) -> list[str]:
        """The rows that a second opinion is asked about, the positives aside."""
        free = np.flatnonzero(self.known == KEPT)
        ranks = free[free >= config.first_rank].tolist()
        judged = first_judged(self.judged, config)
        return [negative.row_id for negative in judged] + [
            self.candidates.rows[rank] for rank in ranks
        ]


@dataclass(frozen=True)
class Outcome:
    """An example, and what was decided of each candidate [n]; `seconds` by the second opinion (NaN:
    not asked).
    """

    example: Example
    candidates: Candidates
    verdicts: Verdicts
    seconds: Floats | None


def look_around(
    candidates: Candidates,
    positives: Sequence[str],
    judged: Sequence[tuple[str, float]],
    rows: CorpusRows,
) -> Surroundings:
    """`positives` are all rows of the query's known positives, `judged` the judged negatives as
    (row, score).
    """
    copies = _copies(candidates.rows, positives, rows)
    rank_of = {name: rank for rank, name in enumerate(candidates.documents)} if judged else {}
    of_judged = _copies([row_id for row_id, _ in judged], positives, rows)
    found = [
        Negative(row_id, score, rank_of.get(document_of(row_id)), judged=True)
        for (row_id, score), copy in zip(judged, of_judged.tolist(), strict=True)
        if copy == KEPT
    ]
    kept = _distinct(found, rows)
    taken = {document_of(negative.row_id) for negative in found}
    is_judged = np.array([name in taken for name in candidates.documents], dtype=np.bool_)
    known = np.where(is_judged & (copies == KEPT), JUDGED, copies)
    here, of_kept = rows.lines(candidates.rows), rows.lines([negative.row_id for negative in kept])
    repeats = find_repeats(
        rows.content[here], rows.words[here], rows.content[of_kept], rows.words[of_kept]
    )
    known = np.where((known == KEPT) & repeats, REPEATED, known)
    return Surroundings(candidates, known.astype(np.int8), kept)


def make_example(
    pair: Pair,
    positive: Positive,
    around: Surroundings,
    second: Mapping[str, float] | None,
    config: MiningConfig,
) -> Outcome:
    """The pair's example; `second` {row: score by the second opinion} if one was asked."""
    if second is None:
        seconds, judged = None, around.judged
    else:
        seconds = np.array(
            [second.get(name, np.nan) for name in around.candidates.rows], dtype=np.float64
        )
        taken = first_judged(around.judged, config)
        judged = tuple(replace(negative, second=second[negative.row_id]) for negative in taken)
        positive = replace(positive, second=second[positive.row_id])
    judging, limit_of = around.candidates.scores, positive.score
    if seconds is not None and positive.second is not None and config.second_judges:
        judging, limit_of = seconds, positive.second
    verdicts = sift(judging, around.known, limit_of, config)
    negatives = choose_negatives(
        pair.query_id, around.candidates, verdicts, seconds, judged, config
    )
    return Outcome(
        Example(pair.query_id, pair.query, positive, negatives),
        around.candidates,
        verdicts,
        seconds,
    )


def _distinct(judged: Sequence[Negative], rows: CorpusRows) -> tuple[Negative, ...]:
    """The highest of those that say the same."""
    judged = sorted(judged, key=lambda negative: (-negative.score, negative.row_id))
    here, nobody = rows.lines([negative.row_id for negative in judged]), np.zeros(0, dtype=np.int64)
    repeats = find_repeats(rows.content[here], rows.words[here], nobody, nobody)
    return tuple(
        negative for negative, repeat in zip(judged, repeats.tolist(), strict=True) if not repeat
    )


def _copies(row_ids: Sequence[str], positives: Sequence[str], rows: CorpusRows) -> Verdicts:
    here, known = rows.lines(row_ids), rows.lines(positives)
    return find_copies(rows.content[here], rows.words[here], rows.content[known], rows.words[known])
