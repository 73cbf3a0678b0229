"""Whether fine-tuning is worth it, by the published rules. Pure.

1,000 training pairs or more and a base model whose recall@10 is under 70%: fine-tune. Under 500 pairs, or a
base model that does well: do not. Between, or where the measurement cannot tell: marginal.
"""

from dataclasses import dataclass
from typing import Literal

from medembed.preflight.estimate import Interval

ENOUGH_PAIRS, TOO_FEW_PAIRS, GOOD_RECALL = 1000, 500, 0.70

Answer = Literal["fine-tune", "do not", "marginal"]


@dataclass(frozen=True)
class Verdict:
    """The answer, and a sentence with a number for each thing that led to it."""

    answer: Answer
    reasons: tuple[str, ...]


def decide(pairs: int, recall: Interval | None, split: str) -> Verdict:
    """The answer from the number of training pairs and the base model's recall@10; None where no query measures it.

    Too few pairs settle it alone, and so does recall whose whole interval lies above GOOD_RECALL.
    """
    answers = (_judge_pairs(pairs), _judge_recall(recall))
    answer: Answer = "do not" if "do not" in answers else "marginal" if "marginal" in answers else "fine-tune"
    return Verdict(answer, (_explain_pairs(pairs), _explain_recall(recall, split)))


def _judge_pairs(pairs: int) -> Answer:
    if pairs < TOO_FEW_PAIRS:
        return "do not"
    return "fine-tune" if pairs >= ENOUGH_PAIRS else "marginal"


def _judge_recall(recall: Interval | None) -> Answer:
    if recall is None or recall.low < GOOD_RECALL <= recall.high:
        return "marginal"
    return "do not" if recall.low >= GOOD_RECALL else "fine-tune"


def _explain_pairs(pairs: int) -> str:
    meaning = {
        "do not": f"under {TOO_FEW_PAIRS} there is too little to learn from",
        "marginal": f"{TOO_FEW_PAIRS} can be enough, {ENOUGH_PAIRS:,} are",
        "fine-tune": f"{ENOUGH_PAIRS:,} are enough",
    }
    return f"{pairs:,} training pairs: {meaning[_judge_pairs(pairs)]}."


def _explain_recall(recall: Interval | None, split: str) -> str:
    if recall is None:
        return f"The base model cannot be measured: no {split} query has a positive document."
    meaning = {
        "do not": f"it does well already, with {GOOD_RECALL:.2f} or more",
        "marginal": f"too near to {GOOD_RECALL:.2f} to tell; more queries narrow it",
        "fine-tune": f"under {GOOD_RECALL:.2f} there is room to improve",
    }
    return (
        f"The base model's recall@10 on {split} is {recall.value:.2f} (95% interval {recall.low:.2f} to "
        f"{recall.high:.2f}): {meaning[_judge_recall(recall)]}."
    )
