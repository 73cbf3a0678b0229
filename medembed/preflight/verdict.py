"""Decide whether fine-tuning is worth it, by published rules for each dimension and slice. Pure.

The published rules: 1,000 training pairs or more and a base model whose recall@10 is under 70%:
fine-tune. Under 500 pairs, or a base model that does well: do not. Between, or where the
measurement cannot tell: marginal.

They look at the mean over all queries with all dimensions. A base model can do well there and fail
at 64 dimensions, or from French to English. So each cell is looked at: each dimension that will be
served, over all queries and in each slice. The model does badly if one cell is surely under 70%, or
if one dimension surely keeps under 90% of the full width's recall: training with that dimension
brings nearly all of it back. It does well if no cell does badly or may do so. Of many cells the
lowest is low by chance, too, so "surely" goes by intervals that hold for all cells at once.

A recall near zero is not room to improve if the model surely orders documents by chance: then the
pairs do not belong together, or the model cannot read the texts, and training mends neither.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from medembed.preflight.estimate import MeanInterval
from medembed.preflight.quality import ALL, Kept, RecallCell, Survey

ENOUGH_PAIRS = 1000
TOO_FEW_PAIRS = 500
GOOD_RECALL = 0.70
GOOD_KEPT = 0.90
# The share of the other documents before a positive: 0.5 by chance, in wrong pairs or unreadable
# texts. With right pairs it was 0.00 to 0.05, also with a model for English asked in French, and
# 0.13 at most at 32 dimensions.
CHANCE = 0.40

Answer = Literal["fine-tune", "do not", "marginal"]


@dataclass(frozen=True)
class Verdict:
    """The answer, and a sentence with a number for each thing that led to it."""

    answer: Answer
    reasons: tuple[str, ...]


class _Finding(NamedTuple):
    """What one look says by itself, and why."""

    answer: Answer
    reason: str


def decide(pairs: int, surveyed: Survey | None, split: str) -> Verdict:
    """Decide by the number of training pairs and the base model's recall@10.

    `surveyed` is None where no query measures it. Too few pairs settle it alone, and so does an
    order by chance. Of what is said about recall, the worst counts.
    """
    needed = [_judge_pairs(pairs)]
    findings = [
        _Finding(
            "marginal",
            f"The base model cannot be measured: no {split} query has a positive document.",
        )
    ]
    if surveyed is not None:
        needed += _judge_order(surveyed.outranked)
        findings = [
            _judge_mean(surveyed.cells[0], split),
            *_judge_cells(surveyed),
            *_judge_kept(surveyed.kept),
        ]
    recall = _first(("fine-tune", "marginal", "do not"), [finding.answer for finding in findings])
    answers = [*(finding.answer for finding in needed), recall]
    answer = _first(("do not", "marginal", "fine-tune"), answers)
    return Verdict(answer, tuple(finding.reason for finding in (*needed, *findings)))


def _first(order: Sequence[Answer], answers: Collection[Answer]) -> Answer:
    return next(answer for answer in order if answer in answers)


def _judge_pairs(pairs: int) -> _Finding:
    if pairs < TOO_FEW_PAIRS:
        meaning = f"under {TOO_FEW_PAIRS} there is too little to learn from; add some"
        return _Finding("do not", f"{pairs:,} training pairs: {meaning}.")
    if pairs < ENOUGH_PAIRS:
        return _Finding(
            "marginal",
            f"{pairs:,} training pairs: {TOO_FEW_PAIRS} can be enough, {ENOUGH_PAIRS:,} are.",
        )
    return _Finding("fine-tune", f"{pairs:,} training pairs: {ENOUGH_PAIRS:,} are enough.")


def _judge_order(outranked: MeanInterval | None) -> Iterator[_Finding]:
    """Yield what an order by chance says; nothing where the model orders documents at all."""
    if outranked is not None and outranked.low > CHANCE:
        yield _Finding(
            "do not",
            f"{outranked.value:.0%} of all documents rank before a query's positive "
            f"({outranked.low:.0%} to {outranked.high:.0%}; by chance 50%). Training does not "
            "mend that: look whether the columns hold queries and their answers; if they do, "
            "take a model that reads these texts.",
        )


def _judge_mean(cell: RecallCell, split: str) -> _Finding:
    """Judge what the published rule looks at: all queries at full width, by their interval."""
    answer: Answer = "marginal"
    meaning = f"too near to {GOOD_RECALL:.2f} to tell; more queries narrow it"
    if cell.recall.high < GOOD_RECALL:
        answer = "fine-tune"
        meaning = f"under {GOOD_RECALL:.2f} there is room to improve"
    elif cell.recall.low >= GOOD_RECALL:
        answer = "do not"
        meaning = f"it does well in the mean, with {GOOD_RECALL:.2f} or more"
    return _Finding(
        answer,
        f"The base model's recall@10 on {split}, with all {cell.dimension} dimensions, is "
        f"{cell.recall.value:.2f} (95% interval {cell.recall.low:.2f} to {cell.recall.high:.2f}): "
        f"{meaning}.",
    )


def _judge_cells(surveyed: Survey) -> Iterator[_Finding]:
    """Yield the worst of the other cells: of those surely bad, else maybe bad, else of all."""
    answers = {cell: _judge_cell(cell) for cell in surveyed.cells[1:]}
    if not answers:
        return
    answer = _first(("fine-tune", "marginal", "do not"), answers.values())
    decisive = [cell for cell in answers if answers[cell] == answer]
    worst = min(decisive, key=lambda cell: (cell.sure.high, cell.dimension))
    meaning = {
        "fine-tune": f"surely under {GOOD_RECALL:.2f}, there is room to improve",
        "marginal": f"it may be under {GOOD_RECALL:.2f}; more queries tell",
        "do not": "it does well there, too",
    }
    yield _Finding(
        answer,
        f"The worst of {len(surveyed.cells)} cells (dimension x slice) is {worst.name} at "
        f"{worst.dimension} dimensions: {worst.recall.value:.2f} in {worst.queries:,} queries "
        f"({worst.sure.low:.2f} to {worst.sure.high:.2f}, wide enough for all cells at once): "
        f"{meaning[answer]}.",
    )


def _judge_cell(cell: RecallCell) -> Answer:
    """Judge a cell; a slice does well if its mean does, as its interval is wide."""
    if cell.sure.high < GOOD_RECALL:
        return "fine-tune"
    least = cell.recall.low if cell.name == ALL else cell.recall.value
    return "do not" if least >= GOOD_RECALL else "marginal"


def _judge_kept(kept: Sequence[Kept]) -> Iterator[_Finding]:
    """Yield what the dimension says that keeps least of the full width's recall."""
    if not kept:
        return
    worst = min(kept, key=lambda entry: (entry.share.high, entry.dimension))
    answer: Answer = "do not"
    meaning = "nothing much is lost"
    if worst.share.high < GOOD_KEPT:
        answer = "fine-tune"
        meaning = "training with that dimension brings nearly all of it back"
    elif min(entry.share.value for entry in kept) < GOOD_KEPT:
        answer = "marginal"
        meaning = f"it may be under {GOOD_KEPT:.0%}; more queries tell"
    yield _Finding(
        answer,
        f"{worst.dimension} dimensions keep {worst.share.value:.0%} of the full width's recall "
        f"({worst.share.low:.0%} to {worst.share.high:.0%}): {meaning}.",
    )
