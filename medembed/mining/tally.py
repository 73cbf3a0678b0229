"""Count what mining does while it runs, for mining.json and a line for people: ids, never texts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medembed.data.dataset import format_counts
from medembed.language import to_translate, tr
from medembed.mining.candidates import Outcome
from medembed.mining.config import MiningConfig
from medembed.mining.rules import ABOVE_MARGIN, JUDGED, KEPT, KNOWN_POSITIVE, RULES

FEWER = to_translate("pairs with fewer negatives than asked")
SUSPECTS = 50  # likely false negatives that are listed
_IDS = 1000  # queries with too few negatives that are listed
_SHARES = {"5%": 0.05, "25%": 0.25, "50%": 0.5, "75%": 0.75, "95%": 0.95}


class Tally:
    """Counts pair after pair; keeps all scores of examples, and the worst suspects."""

    def __init__(self, config: MiningConfig) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.positives: list[float] = []
        self.negatives: list[float] = []
        # by the second opinion, None without one
        self.positive_seconds: list[float | None] = []
        self.negative_seconds: list[float | None] = []
        self.suspects: dict[tuple[str, str], dict[str, Any]] = {}
        self.too_few: set[str] = set()
        # (positive's score, lowest score that a margin refused) of pairs left without a negative
        self.refused: list[tuple[float, float]] = []

    def add(self, outcome: Outcome) -> None:
        """Count a pair, and what was decided of each document of its window."""
        example = outcome.example
        verdicts = outcome.verdicts
        passed = outcome.window.positives_passed
        negatives = example.negatives
        judged = 0
        for negative in negatives:
            judged += negative.judged
            self.negatives.append(negative.score)
            self.negative_seconds.append(negative.second)
        is_short = len(negatives) < self.config.negatives
        self.counts.update(
            {
                "pairs": 1,
                "documents looked at": len(verdicts) + passed,
                "kept": int((verdicts == KEPT).sum()),
                "judged": int((verdicts == JUDGED).sum()),
                "negatives": len(negatives),
                "judged negatives": judged,
                "pairs with fewer candidates than the window": int(
                    len(verdicts) < self.config.window
                ),
                FEWER: int(is_short),
            }
        )
        self.dropped[KNOWN_POSITIVE] += passed
        for rule, name in enumerate(RULES):
            self.dropped[name] += int((verdicts == rule).sum())
        if is_short:
            self.too_few.add(example.query_id)
        self.positives.append(example.positive.score)
        self.positive_seconds.append(example.positive.second)
        if self.config.negatives and not negatives:
            self._keep_refused(outcome)
        self._keep_suspects(outcome)

    def _keep_refused(self, outcome: Outcome) -> None:
        """Keep by how little the margins left a pair without any negative."""
        refused = outcome.judging[outcome.verdicts == ABOVE_MARGIN]
        if self.config.min_score is not None:
            refused = refused[refused >= self.config.min_score]
        if self.config.max_score is not None:
            refused = refused[refused <= self.config.max_score]
        if len(refused):
            self.refused.append((outcome.limit_of, float(refused.min())))

    def _keep_suspects(self, outcome: Outcome) -> None:
        """Keep those above the margin, once for a query and document."""
        example = outcome.example
        window = outcome.window
        above = np.flatnonzero(outcome.verdicts == ABOVE_MARGIN)
        highest = above[np.argsort(-outcome.judging[above], kind="stable")][:SUSPECTS]
        for rank in highest.tolist():
            suspect = {
                "query_id": example.query_id,
                "document": window.rows[rank],
                "score": float(window.scores[rank]),
                "rank": rank,
                "positive_id": example.positive.row_id,
                "positive_score": example.positive.score,
            }
            if outcome.seconds is not None:
                suspect["second_score"] = float(outcome.seconds[rank])
                suspect["positive_second_score"] = example.positive.second
            self.suspects.setdefault((example.query_id, window.rows[rank]), suspect)
        if len(self.suspects) > 100 * SUSPECTS:
            self.suspects = {(row["query_id"], row["document"]): row for row in self._worst()}

    def _worst(self) -> list[dict[str, Any]]:
        by = "second_score" if self.config.second_judges else "score"
        ordered = sorted(
            self.suspects.values(), key=lambda row: (-row[by], row["query_id"], row["document"])
        )
        return ordered[:SUSPECTS]

    def _margins(self) -> dict[str, float | None]:
        """Return the margins at which half of the pairs that they left without negatives get one.

        None where that takes no margin at all; empty where the margins left most pairs some.
        """
        if 2 * len(self.refused) <= self.counts["pairs"]:
            return {}
        positives, scores = np.array(self.refused).T
        gaps = positives - scores
        above = positives - (self.config.margin_from or 0.0)
        sizes = np.where(above == 0, 1, np.abs(above))
        margins = {}
        for key, values in {"margin": gaps / sizes, "margin_absolute": gaps}.items():
            if getattr(self.config, key) is not None:
                middle = float(np.sort(values)[len(values) // 2])
                # three digits, rounded down; no config may have a margin below 0
                margins[key] = math.floor(middle * 1000) / 1000 if middle >= 0 else None
        return margins

    def to_json(self, unanswered: int, absent: int) -> dict[str, Any]:
        """Return all of it as mining.json has it.

        `unanswered` training queries have no positive, `absent` pairs have one that the table
        lacks.
        """
        return {
            "counts": dict(self.counts),
            "queries_without_positive": unanswered,
            "pairs_without_vector": absent,
            "dropped": dict(self.dropped),
            "scores": {
                "positives": _quantiles(self.positives),
                "negatives": _quantiles(self.negatives),
            },
            "second_scores": {
                "positives": _quantiles(self.positive_seconds),
                "negatives": _quantiles(self.negative_seconds),
            },
            "likely_false_negatives": self._worst(),
            "margins_that_keep_some": self._margins(),
            "margin_from": self.config.margin_from,
            "queries_with_too_few": {
                "count": len(self.too_few),
                "ids": sorted(self.too_few)[:_IDS],
            },
        }


def summarize(counted: Mapping[str, Any]) -> str:
    """Say in one line what mining did."""
    counts = counted["counts"]
    refused = {name: count for name, count in counted["dropped"].items() if count}
    return tr(
        "{documents:,} documents looked at for {pairs:,} pairs: {refused}; {negatives:,} negatives "
        "({judged:,} judged), {short:,} queries with too few",
        documents=counts["documents looked at"],
        pairs=counts["pairs"],
        refused=format_counts(refused) or tr("none refused"),
        negatives=counts["negatives"],
        judged=counts["judged negatives"],
        short=counted["queries_with_too_few"]["count"],
    )


def advise(counted: Mapping[str, Any]) -> str | None:
    """Say what to change where the margins leave most pairs without a negative."""
    margins = counted["margins_that_keep_some"]
    if not margins:
        return None
    counts = counted["counts"]
    keys = [f"mining.{key}={'null' if value is None else value}" for key, value in margins.items()]
    return tr(
        "{negatives:,} negatives for {pairs:,} pairs: most have no negative, as all of their "
        "candidates lie above the margin; {keys} would keep some. If the model ranks the positives "
        "badly, that is what it needs; else look at likely_false_negatives in mining.json first.",
        negatives=counts["negatives"],
        pairs=counts["pairs"],
        keys=" ".join(keys),
    )


def _quantiles(scores: Sequence[float | None]) -> dict[str, float]:
    """Return {"5%": ..., "50%": ..., "95%": ...}; empty without a score."""
    known = np.array(scores, dtype=np.float64)  # NaN for None
    known = known[~np.isnan(known)]
    if not len(known):
        return {}
    values = np.quantile(known, list(_SHARES.values()))
    return dict(zip(_SHARES, values.tolist(), strict=True))
