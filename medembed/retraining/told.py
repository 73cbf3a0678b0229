"""A decision as people read it in a terminal and in MLflow."""

from collections.abc import Sequence

from medembed.evaluation.screen import label
from medembed.retraining.gate import Decision, Row

_SAID = {"better": "PASSED", "not better": "NOT PROMOTED", "worse": "REFUSED"}


def show_decision(decision: Decision, champion: str) -> list[str]:
    """A table of all differences, and the decision with its reasons."""
    head = ["queries of", "dimensions", "language", "number", "champion", "candidate", "difference", "surely above", ""]
    lines = _columns([head, *(_row(row) for row in decision.rows)])
    verdict = f"gate: {_SAID[decision.outcome]}"
    return [
        f"{label(decision.metric)} against {champion}",
        *lines,
        *([verdict] if not decision.reasons else [f"{verdict}: {reason}" for reason in decision.reasons]),
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
        row.verdict,
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
