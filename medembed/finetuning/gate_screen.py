"""Write for people what a test set can show, and what the gate has decided by it."""

import math
from collections import Counter
from collections.abc import Sequence

from scipy import special

from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.words import label
from medembed.finetuning.gate import Decision, GateRow

# Standard deviation of the difference in NDCG@10 between a champion and its successor, from one
# question to another.
_SPREAD_OF_A_QUESTION = 0.16
_VERDICTS = {"better": "PASSED", "not better": "NOT PROMOTED", "worse": "REFUSED"}
_HEAD = [
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


def show_power(languages: Sequence[str], confidence: float) -> str:
    """Return which loss test questions can show, all together and in each pair of languages.

    `languages` has each question's, "fr -> en".
    """
    counts = Counter(languages).most_common()
    line = (
        f"{len(languages):,} test questions can show a loss of "
        f"{_loss_shown(len(languages), confidence)} points"
    )
    if len(counts) == 1:
        return line
    each = [f"{count:,} in {name} of {_loss_shown(count, confidence)}" for name, count in counts]
    return f"{line}; {', '.join(each)}"


def _loss_shown(count: int, confidence: float) -> str:
    """Return the one-sided bound of the mean of so many differences, in points of NDCG@10."""
    reach = float(special.ndtri(confidence))
    return f"{100 * reach * _SPREAD_OF_A_QUESTION / math.sqrt(count):.1f}"


def show_decision(decision: Decision, champion: str) -> list[str]:
    """Return a table of all differences, and the decision with its reasons."""
    table = [_HEAD, *map(_cells, decision.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"{label(decision.metric)} against {champion}"]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines += format_retention(decision.retention)
    verdict = f"gate: {_VERDICTS[decision.outcome]}"
    if not decision.reasons:
        return [*lines, verdict]
    return [*lines, *(f"{verdict}: {reason}" for reason in decision.reasons)]


def _cells(row: GateRow) -> list[str]:
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
