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

from medembed.language import to_translate, tr
from medembed.preflight.estimate import MeanInterval
from medembed.preflight.quality import ALL, Kept, RecallCell, Survey
from medembed.preflight.queries import show_slice

ENOUGH_PAIRS = 1000
TOO_FEW_PAIRS = 500
GOOD_RECALL = 0.70
GOOD_KEPT = 0.90
# The share of the other documents before a positive: 0.5 by chance, in wrong pairs or unreadable
# texts. With right pairs it was 0.00 to 0.05, also with a model for English asked in French, and
# 0.13 at most at 32 dimensions.
CHANCE = 0.40

Answer = Literal["fine-tune", "do not", "marginal"]

_OF_WORST_CELL: dict[Answer, str] = {
    "fine-tune": to_translate("surely under {good:.2f}, there is room to improve"),
    "marginal": to_translate("it may be under {good:.2f}; more queries tell"),
    "do not": to_translate("it does well there, too"),
}


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
            tr(
                "The base model cannot be measured: no {split} query has a positive document.",
                split=split,
            ),
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
        reason = tr(
            "{pairs:,} training pairs: under {few} there is too little to learn from; add some.",
            pairs=pairs,
            few=TOO_FEW_PAIRS,
        )
        return _Finding("do not", reason)
    if pairs < ENOUGH_PAIRS:
        reason = tr(
            "{pairs:,} training pairs: {few} can be enough, {enough:,} are.",
            pairs=pairs,
            few=TOO_FEW_PAIRS,
            enough=ENOUGH_PAIRS,
        )
        return _Finding("marginal", reason)
    reason = tr(
        "{pairs:,} training pairs: {enough:,} are enough.", pairs=pairs, enough=ENOUGH_PAIRS
    )
    return _Finding("fine-tune", reason)


def _judge_order(outranked: MeanInterval | None) -> Iterator[_Finding]:
    """Yield what an order by chance says; nothing where the model orders documents at all."""
    if outranked is not None and outranked.low > CHANCE:
        yield _Finding(
            "do not",
            tr(
                "{share:.0%} of all documents rank before a query's positive ({low:.0%} to "
                "{high:.0%}; by chance 50%). Training does not mend that: look whether the columns "
                "hold queries and their answers; if they do, take a model that reads these texts.",
                share=outranked.value,
                low=outranked.low,
                high=outranked.high,
            ),
        )


def _judge_mean(cell: RecallCell, split: str) -> _Finding:
    """Judge what the published rule looks at: all queries at full width, by their interval."""
    answer: Answer = "marginal"
    meaning = tr("too near to {good:.2f} to tell; more queries narrow it", good=GOOD_RECALL)
    if cell.recall.high < GOOD_RECALL:
        answer = "fine-tune"
        meaning = tr("under {good:.2f} there is room to improve", good=GOOD_RECALL)
    elif cell.recall.low >= GOOD_RECALL:
        answer = "do not"
        meaning = tr("it does well in the mean, with {good:.2f} or more", good=GOOD_RECALL)
    return _Finding(
        answer,
        tr(
            "The base model's recall@10 on {split}, with all {dimension} dimensions, is "
            "{recall:.2f} (95% interval {low:.2f} to {high:.2f}): {meaning}.",
            split=split,
            dimension=cell.dimension,
            recall=cell.recall.value,
            low=cell.recall.low,
            high=cell.recall.high,
            meaning=meaning,
        ),
    )


def _judge_cells(surveyed: Survey) -> Iterator[_Finding]:
    """Yield the worst of the other cells: of those surely bad, else maybe bad, else of all."""
    answers = {cell: _judge_cell(cell) for cell in surveyed.cells[1:]}
    if not answers:
        return
    answer = _first(("fine-tune", "marginal", "do not"), answers.values())
    decisive = [cell for cell in answers if answers[cell] == answer]
    worst = min(decisive, key=lambda cell: (cell.sure.high, cell.dimension))
    yield _Finding(
        answer,
        tr(
            "The worst of {cells} cells (dimension x slice) is {name} at {dimension} dimensions: "
            "{recall:.2f} in {queries:,} queries ({low:.2f} to {high:.2f}, wide enough for all "
            "cells at once): {meaning}.",
            cells=len(surveyed.cells),
            name=show_slice(worst.name),
            dimension=worst.dimension,
            recall=worst.recall.value,
            queries=worst.queries,
            low=worst.sure.low,
            high=worst.sure.high,
            meaning=tr(_OF_WORST_CELL[answer], good=GOOD_RECALL),
        ),
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
    meaning = tr("nothing much is lost")
    if worst.share.high < GOOD_KEPT:
        answer = "fine-tune"
        meaning = tr("training with that dimension brings nearly all of it back")
    elif min(entry.share.value for entry in kept) < GOOD_KEPT:
        answer = "marginal"
        meaning = tr("it may be under {good:.0%}; more queries tell", good=GOOD_KEPT)
    yield _Finding(
        answer,
        tr(
            "{dimension} dimensions keep {share:.0%} of the full width's recall ({low:.0%} to "
            "{high:.0%}): {meaning}.",
            dimension=worst.dimension,
            share=worst.share.value,
            low=worst.share.low,
            high=worst.share.high,
            meaning=meaning,
        ),
    )
