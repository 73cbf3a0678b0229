"""What a test set can show, and what was decided by it, as people read it in a terminal and in
MLflow.
"""

import math
from collections import Counter
from collections.abc import Sequence

from scipy import special

from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.words import label
from medembed.retraining.gate import Decision, Row

# Standard deviation of the difference in NDCG@10 between a champion and its successor, from one
# question to another.
_SPREAD_OF_A_QUESTION = 0.16
_SAID = {"better": "PASSED", "not better": "NOT PROMOTED", "worse": "REFUSED"}


def show_power(languages: Sequence[str], confidence: float) -> str:
    """Return which loss test questions can show, all together and in each language; `languages` has
    each question's.
    """
    counts = Counter(languages)
    smallest = [
        f"{count:,} in {language} of {_loss_shown(count, confidence)}"
        for language, count in counts.most_common()
    ]
    together = (
        f"{len(languages):,} test questions can show a loss of "
        f"{_loss_shown(len(languages), confidence)} points"
    )
    return together if len(counts) == 1 else f"{together}; {', '.join(smallest)}"


def _loss_shown(count: int, confidence: float) -> str:
    """The one-sided bound of the mean of so many differences, in points of NDCG@10."""
    reach = float(special.ndtri(confidence))
    return f"{100 * reach * _SPREAD_OF_A_QUESTION / math.sqrt(count):.1f}"


def show_decision(decision: Decision, champion: str) -> list[str]:
    """A table of all differences, and the decision with its reasons."""
    head = [
        "queries of",
        "dimensions",
        "language",
        "number",
        "champion",
        "candidate",
        "difference",
        "surely above",
        "risk",
        "",
    ]
    lines = _columns([head, *(_row(row) for row in decision.rows)])
    verdict = f"gate: {_SAID[decision.outcome]}"
    return [
        f"{label(decision.metric)} against {champion}",
        *lines,
        *format_retention(decision.retention),
        *(
            [verdict]
            if not decision.reasons
            else [f"{verdict}: {reason}" for reason in decision.reasons]
        ),
    ]


def _row(row: Row) -> list[str]:
    return [
        row.part,
        str(row.dimension) if row.dimension else "mean of all",
        row.language,
        f"{row.queries:,}",
        f"{row.before:.3f}",
        f"{row.after:.3f}",
        f"{row.mean:+.3f}",
        f"{row.low:+.3f}",
        "-" if row.risk is None else f"{row.risk:.0%}",
        row.verdict,
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
