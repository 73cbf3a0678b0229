"""What mining did, counted while it runs: mining.json, a figure, one line for people. Ids and
numbers, never texts.
"""

import io
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.mining.candidates import Outcome
from medembed.mining.config import MiningConfig
from medembed.mining.rules import ABOVE_MARGIN, JUDGED, KEPT, KNOWN_POSITIVE, RULES, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "mining.png"
SUSPECTS = 50  # likely false negatives that are listed
_IDS = 1000  # queries with too few negatives that are listed
_BINS = 40
_TEAL, _RED, _INK, _MUTED = "#0f766e", "#b91c1c", "#0f172a", "#475569"
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": "#94a3b8",
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


class Tally:
    """Counts pair after pair; holds two numbers for each example and negative, and the worst
    suspects.
    """

    def __init__(self, config: MiningConfig) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.positives: list[tuple[float, float | None]] = []
        self.negatives: list[tuple[float, float | None]] = []
        self.suspects: dict[tuple[str, str], dict[str, Any]] = {}
        self.too_few: dict[str, None] = {}
        # (positive's score, lowest score that a margin refused)
        self.refused: list[tuple[float, float]] = []

    def add(self, outcome: Outcome) -> None:
        """One pair, and what was decided of each of its candidates."""
        example, verdicts, candidates = outcome.example, outcome.verdicts, outcome.candidates
        is_short = len(example.negatives) < self.config.negatives
        self.counts.update(
            {
                "pairs": 1,
                "documents looked at": len(verdicts) + candidates.known,
                "kept": int((verdicts == KEPT).sum()),
                "judged": int((verdicts == JUDGED).sum()),
                "negatives": len(example.negatives),
                "judged negatives": sum(negative.judged for negative in example.negatives),
                "pairs with fewer candidates than the window": int(
                    len(verdicts) < self.config.window
                ),
                "pairs with fewer negatives than asked": int(is_short),
            }
        )
        if is_short:
            self.too_few[example.query_id] = None
        self.dropped[KNOWN_POSITIVE] += candidates.known
        for rule, name in enumerate(RULES):
            self.dropped[name] += int((verdicts == rule).sum())
        self.positives.append((example.positive.score, example.positive.second))
        self.negatives += [(negative.score, negative.second) for negative in example.negatives]
        if self.config.negatives and not example.negatives:
            self._refuse(outcome)
        self._suspect(outcome)

    def _refuse(self, outcome: Outcome) -> None:
        """Keeps by how little the margins left a pair without any negative."""
        judging, positive = self._judging(outcome)
        refused = judging[outcome.verdicts == ABOVE_MARGIN]
        low = -math.inf if self.config.min_score is None else self.config.min_score
        high = math.inf if self.config.max_score is None else self.config.max_score
        allowed = refused[(refused >= low) & (refused <= high)]
        if len(allowed):
            self.refused.append((positive, float(allowed.min())))

    def _judging(self, outcome: Outcome) -> tuple[Floats, float]:
        """(the candidates' scores that judge, the positive's by the same model)."""
        positive, seconds = outcome.example.positive, outcome.seconds
        if seconds is not None and positive.second is not None and self.config.second_judges:
            return seconds, positive.second
        return outcome.candidates.scores, positive.score

    def _suspect(self, outcome: Outcome) -> None:
        """Keeps those above the margin, once for a query and document."""
        example, candidates, seconds = outcome.example, outcome.candidates, outcome.seconds
        above = np.flatnonzero(outcome.verdicts == ABOVE_MARGIN)
        judging, _ = self._judging(outcome)
        for rank in above[np.argsort(-judging[above], kind="stable")][:SUSPECTS].tolist():
            found = {
                "query_id": example.query_id,
                "document": candidates.rows[rank],
                "score": float(candidates.scores[rank]),
                "rank": rank,
                "positive_id": example.positive.row_id,
                "positive_score": example.positive.score,
            }
            if seconds is not None:
                found |= {
                    "second_score": float(seconds[rank]),
                    "positive_second_score": example.positive.second,
                }
            self.suspects.setdefault((example.query_id, candidates.rows[rank]), found)
        if len(self.suspects) > 100 * SUSPECTS:
            self.suspects = {(row["query_id"], row["document"]): row for row in self._worst()}

    def _worst(self) -> list[dict[str, Any]]:
        by = "second_score" if self.config.second_judges else "score"
        return sorted(
            self.suspects.values(), key=lambda row: (-row[by], row["query_id"], row["document"])
        )[:SUSPECTS]

    def _margins(self) -> dict[str, float | None]:
        """{key of a margin: value at which half of the pairs that the margins left without
        negatives get one}.

        None where that takes no margin at all; empty where the margins left most pairs some.
        """
        if 2 * len(self.refused) <= self.counts["pairs"]:
            return {}
        room = {
            "margin": [(positive - score) / abs(positive or 1) for positive, score in self.refused],
            "margin_absolute": [positive - score for positive, score in self.refused],
        }
        asked = [key for key in room if getattr(self.config, key) is not None]
        return {key: _round_down(sorted(room[key])[len(self.refused) // 2]) for key in asked}

    def report(self, unanswered: int, absent: int) -> dict[str, Any]:
        """All of it as mining.json has it; `unanswered` training queries have no positive, `absent`
        pairs have one that the table lacks."""
        return {
            "counts": dict(self.counts),
            "queries_without_positive": unanswered,
            "pairs_without_vector": absent,
            "dropped": dict(self.dropped),
            "scores": _histograms(
                [row[0] for row in self.positives], [row[0] for row in self.negatives]
            ),
            "second_scores": _histograms(
                [row[1] for row in self.positives if row[1] is not None],
                [row[1] for row in self.negatives if row[1] is not None],
            ),
            "likely_false_negatives": self._worst(),
            "margins_that_keep_some": self._margins(),
            "queries_with_too_few": {
                "count": len(self.too_few),
                "ids": sorted(self.too_few)[:_IDS],
            },
        }


def summarize(report: dict[str, Any]) -> str:
    """The report in one line."""
    counts, dropped = (
        report["counts"],
        {name: count for name, count in report["dropped"].items() if count},
    )
    refused = ", ".join(f"{count:,} {name}" for name, count in dropped.items()) or "none refused"
    return (
        f"{counts['documents looked at']:,} documents looked at for {counts['pairs']:,} pairs: "
        f"{refused}; {counts['negatives']:,} negatives ({counts['judged negatives']:,} judged), "
        f"{report['queries_with_too_few']['count']:,} queries with too few"
    )


def advise(report: dict[str, Any]) -> str | None:
    """What to change where the margins leave most pairs without a negative."""
    margins, pairs = report["margins_that_keep_some"], report["counts"]["pairs"]
    if not margins:
        return None
    keys = " ".join(
        f"mining.{key}={'null' if value is None else value}" for key, value in margins.items()
    )
    return (
        f"{report['counts']['negatives']:,} negatives for {pairs:,} pairs: most have none, as all "
        f"of their candidates lie above the margin; {keys} would keep some. If the model ranks the "
        "positives badly, that is what it needs; else look at likely_false_negatives in "
        "mining.json first."
    )


def draw_report(report: dict[str, Any]) -> bytes:
    """A PNG: what each rule refused, and how positives and negatives score. The same bytes for the
    same report.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    named = {"cosine": report["scores"], "score by the second opinion": report["second_scores"]}
    shown = {name: found for name, found in named.items() if found["edges"]}
    buffer = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.0 + 2.4 * len(shown)))
        panels = figure.subplots(1 + len(shown), 1, squeeze=False)[:, 0]
        _draw_rules(panels[0], report)
        for axes, (name, found) in zip(panels[1:], shown.items(), strict=True):
            axes.stairs(
                found["positives"],
                found["edges"],
                fill=True,
                color=_TEAL,
                alpha=0.5,
                label="positive",
            )
            axes.stairs(
                found["negatives"], found["edges"], color=_RED, linewidth=1.5, label="negative"
            )
            axes.set(xlabel=f"{name} with the query", ylabel="rows")
            axes.legend()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _draw_rules(axes: "Axes", report: dict[str, Any]) -> None:
    counts = report["counts"]
    bars = report["dropped"] | {"kept": counts["kept"], "negatives": counts["negatives"]}
    colours = [_RED] * len(report["dropped"]) + [_TEAL] * 2
    axes.barh(range(len(bars)), list(bars.values()), color=colours)
    axes.set_yticks(range(len(bars)), [f"{name} ({count:,})" for name, count in bars.items()])
    axes.invert_yaxis()
    axes.set_title(
        f"{counts['documents looked at']:,} documents looked at for {counts['pairs']:,} pairs"
    )


def _round_down(margin: float) -> float | None:
    """Three digits of a margin; None for one below 0, which no config may have."""
    return math.floor(margin * 1000) / 1000 if margin >= 0 else None


def _histograms(positives: Sequence[float], negatives: Sequence[float]) -> dict[str, list[Any]]:
    """Counts of both in the same bins; no bins without a score."""
    if not positives:
        return {"edges": [], "positives": [], "negatives": []}
    low, high = min([*positives, *negatives]), max([*positives, *negatives])
    edges = np.linspace(
        low, high if high > low else math.nextafter(low + 1e-6, math.inf), _BINS + 1
    )
    return {
        "edges": edges.tolist(),
        "positives": np.histogram(positives, edges)[0].tolist(),
        "negatives": np.histogram(negatives, edges)[0].tolist(),
    }
