"""Write for people what a test set can show, and what the gate has decided by it."""

import math
from collections import Counter
from collections.abc import Sequence

from scipy import special

from medembed.evaluation.retention.words import format_retention
from medembed.evaluation.words import label
from medembed.finetuning.gate import Decision, GateRow
from medembed.language import to_translate, tr

# Standard deviation of the difference in NDCG@10 between a champion and its successor, from one
# question to another.
_SPREAD_OF_A_QUESTION = 0.16
_VERDICTS = {
    "better": to_translate("PASSED"),
    "not better": to_translate("NOT PROMOTED"),
    "worse": to_translate("REFUSED"),
}
_HEAD = (
    to_translate("queries of"),
    to_translate("dimensions"),
    to_translate("language"),
    to_translate("number"),
    to_translate("champion"),
    to_translate("candidate"),
    to_translate("difference"),
    to_translate("surely above"),
    to_translate("risk"),
)
# what a row of the gate says at its end
_ANSWERS = {
    "pass": to_translate("pass"),
    "fail": to_translate("fail"),
    "undecided": to_translate("undecided"),
}


def show_power(languages: Sequence[str], confidence: float) -> str:
    """Return which loss test questions can show, all together and in each pair of languages.

    `languages` has each question's, "fr -> en".
    """
    counts = Counter(languages).most_common()
    line = tr(
        "{count:,} test questions can show a loss of {points} points",
        count=len(languages),
        points=_loss_shown(len(languages), confidence),
    )
    if len(counts) == 1:
        return line
    for number, (name, count) in enumerate(counts):
        points = _loss_shown(count, confidence)
        line += ", " if number else tr("; ")
        line += tr("{count:,} in {name} of {points}", count=count, name=name, points=points)
    return line


def _loss_shown(count: int, confidence: float) -> str:
    """Return the one-sided bound of the mean of so many differences, in points of NDCG@10."""
    reach = float(special.ndtri(confidence))
    return f"{100 * reach * _SPREAD_OF_A_QUESTION / math.sqrt(count):.1f}"


def show_decision(decision: Decision, champion: str) -> list[str]:
    """Return a table of all differences, and the decision with its reasons."""
    table = [[*map(tr, _HEAD), ""], *map(_cells, decision.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [tr("{metric} against {champion}", metric=label(decision.metric), champion=champion)]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines += format_retention(decision.retention)
    verdict = tr("gate: {verdict}", verdict=tr(_VERDICTS[decision.outcome]))
    if not decision.reasons:
        return [*lines, verdict]
    return [
        *lines,
        *(tr("{verdict}: {reason}", verdict=verdict, reason=reason) for reason in decision.reasons),
    ]


def _cells(row: GateRow) -> list[str]:
    return [
        tr(row.part),
        str(row.dimension) if row.dimension else tr("mean of all"),
        tr(row.language),
        tr("{count:,}", count=row.queries),
        f"{row.before:.3f}",
        f"{row.after:.3f}",
        f"{row.mean:+.3f}",
        f"{row.low:+.3f}",
        "-" if row.risk is None else tr("{share:.0%}", share=row.risk),
        tr(_ANSWERS[row.verdict]),
    ]
