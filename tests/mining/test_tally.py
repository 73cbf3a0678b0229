from typing import Any

import numpy as np
import pytest

from medembed.mining.candidates import Outcome
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Example
from medembed.mining.judgments import Positive
from medembed.mining.negatives import Negative
from medembed.mining.rules import (
    ABOVE_MARGIN,
    BEFORE_FIRST,
    JUDGED,
    KEPT,
    SAME_CONTENT,
    SAME_WORDS,
    Window,
)
from medembed.mining.tally import SUSPECTS, Tally, advise, summarize

CONFIG = MiningConfig(negatives=2, window=4)


def outcome(
    query_id: str,
    positive: Positive,
    decided: dict[str, tuple[float, int]],
    negatives: tuple[Negative, ...],
    seconds: list[float] | None = None,
    known: int = 1,
) -> Outcome:
    """Return an outcome of `decided`, {document: (score, verdict)}, best first."""
    scores = np.array([score for score, _ in decided.values()])
    verdicts = np.array([verdict for _, verdict in decided.values()], np.int8)
    window = Window(list(decided), list(decided), scores, known)
    example = Example(query_id, "secret text", positive, negatives)
    if seconds is None or positive.second is None:
        return Outcome(example, window, verdicts, scores, positive.score, None)
    judging = np.array(seconds)
    return Outcome(example, window, verdicts, judging, positive.second, judging)


OUTCOMES = [
    outcome(
        "q1",
        Positive("p", 0.9),
        {"a": (0.95, ABOVE_MARGIN), "b": (0.9, SAME_WORDS), "c": (0.5, KEPT), "d": (0.4, KEPT)},
        (Negative("c", 0.5, 2), Negative("d", 0.4, 3)),
        known=2,
    ),
    outcome(
        "q1",
        Positive("p2", 0.7),
        {"a": (0.95, ABOVE_MARGIN), "b": (0.9, SAME_WORDS), "c": (0.5, KEPT), "d": (0.4, JUDGED)},
        (Negative("d", 0.4, 3, judged=True), Negative("c", 0.5, 2)),
        known=2,
    ),
    outcome(
        "q0",
        Positive("p", 0.2),
        {"e": (0.99, ABOVE_MARGIN), "f": (0.3, ABOVE_MARGIN), "g": (0.1, SAME_CONTENT)},
        (),
    ),
]


@pytest.fixture
def counted() -> dict[str, Any]:
    tally = Tally(CONFIG)
    for each in OUTCOMES:
        tally.add(each)
    return tally.to_json(unanswered=7, absent=3)


def test_counts_are_those_of_a_count_by_hand(counted: dict[str, Any]):
    assert counted["counts"] == {
        "pairs": 3,
        "documents looked at": 16,
        "kept": 3,
        "judged": 1,
        "negatives": 4,
        "judged negatives": 1,
        "pairs with fewer candidates than the window": 1,
        "pairs with fewer negatives than asked": 1,
    }
    assert counted["dropped"] == {
        "known positive": 5,
        "same content as a positive": 1,
        "same words as a positive": 2,
        "same words as a nearer document": 0,
        "before first_rank": 0,
        "above the margin": 4,
        "above max_score": 0,
        "below min_score": 0,
    }
    assert sum(counted["dropped"].values()) + 3 + 1 == 16, "each document looked at has one fate"
    assert counted["queries_without_positive"] == 7
    assert counted["queries_with_too_few"] == {"count": 1, "ids": ["q0"]}


def test_likely_false_negatives_are_named_once_the_highest_first(counted: dict[str, Any]):
    assert [
        (row["query_id"], row["document"], row["score"])
        for row in counted["likely_false_negatives"]
    ] == [("q0", "e", 0.99), ("q1", "a", 0.95), ("q0", "f", 0.3)]
    assert counted["likely_false_negatives"][1] == {
        "query_id": "q1",
        "document": "a",
        "score": 0.95,
        "rank": 0,
        "positive_id": "p",
        "positive_score": 0.9,
    }


def test_scores_are_told_by_their_quantiles_and_texts_nowhere(counted: dict[str, Any]):
    scores = counted["scores"]
    assert list(scores["positives"]) == ["5%", "25%", "50%", "75%", "95%"]
    assert scores["positives"]["50%"] == 0.7
    assert scores["negatives"]["50%"] == pytest.approx(0.45)
    assert counted["second_scores"] == {"positives": {}, "negatives": {}}
    assert "secret" not in str(counted)


def test_one_line_says_it_all(counted: dict[str, Any]):
    assert summarize(counted) == (
        "16 documents looked at for 3 pairs: 5 known positive, 1 same content as a positive, 2 "
        "same words as a positive, 4 above the margin; 4 negatives (1 judged), 1 queries with too "
        "few"
    )


def test_no_more_suspects_are_listed_than_a_person_reads_and_they_are_the_highest():
    tally = Tally(MiningConfig(negatives=0, window=100))
    generator = np.random.default_rng(0)
    drawn = {f"q{number:03d}": np.sort(generator.random(100))[::-1] for number in range(120)}
    for query_id, scores in drawn.items():
        decided = {f"d{rank}": (float(score), ABOVE_MARGIN) for rank, score in enumerate(scores)}
        tally.add(outcome(query_id, Positive("p", -1.0), decided, ()))
    scores = [row["score"] for row in tally.to_json(0, 0)["likely_false_negatives"]]
    assert scores == np.sort(np.concatenate(list(drawn.values())))[::-1][:SUSPECTS].tolist()


def test_where_the_second_opinion_judges_it_orders_the_suspects():
    tally = Tally(MiningConfig(second_opinion="teacher"))
    decided = {"a": (0.9, BEFORE_FIRST), "b": (0.8, ABOVE_MARGIN), "c": (0.7, ABOVE_MARGIN)}
    tally.add(
        outcome(
            "q",
            Positive("p", 0.6, 0.1),
            decided,
            (Negative("d", 0.1, 3, second=-2.0),),
            [np.nan, 3.0, 5.0],
        )
    )
    counted = tally.to_json(0, 0)
    assert [
        (row["document"], row["second_score"]) for row in counted["likely_false_negatives"]
    ] == [
        ("c", 5),
        ("b", 3),
    ]
    assert counted["second_scores"]["negatives"]["50%"] == -2.0


def nearest(positive: float, *scores: float, verdict: int = ABOVE_MARGIN) -> Outcome:
    """Return a pair without a negative, whose candidates have these scores."""
    return outcome(
        "q", Positive("p", positive), {str(score): (score, verdict) for score in scores}, ()
    )


def advice_of(outcomes: list[Outcome], **config: Any) -> str | None:
    tally = Tally(MiningConfig(negatives=1, window=4, **config))
    for each in outcomes:
        tally.add(each)
    return advise(tally.to_json(unanswered=0, absent=0))


def test_where_the_margin_leaves_most_pairs_without_negatives_one_is_named_that_keeps_some():
    close = [nearest(0.8, 0.79, 0.7845), nearest(0.5, 0.49), nearest(0.5, 0.6)]
    assert "0 negatives for 3 pairs" in str(advice_of(close))
    # (.8 - .7845) / .8, rounded down
    assert "; mining.margin=0.019 would keep some" in str(advice_of(close[:1]))
    assert "; mining.margin=0.02 would" in str(advice_of([nearest(0.5, 0.495, 0.4899)]))
    assert "; mining.margin=null would" in str(advice_of([nearest(0.5, 0.6)]))
    both = {"margin": 0.1, "margin_absolute": 0.5}
    assert "; mining.margin=0.02 mining.margin_absolute=0.01 would" in str(
        advice_of([nearest(0.5, 0.4899)], **both)
    )


def test_no_margin_is_named_where_it_is_not_the_margin_or_most_pairs_have_negatives():
    kept = outcome("q", Positive("p", 0.9), {"c": (0.5, KEPT)}, (Negative("c", 0.5, 0),))
    assert advice_of([kept, nearest(0.5, 0.49)]) is None
    assert advice_of([nearest(0.5, 0.49, verdict=SAME_WORDS)]) is None
    assert advice_of([nearest(0.5, 0.49)], max_score=0.3) is None
    tally = Tally(MiningConfig(negatives=0))
    tally.add(nearest(0.5, 0.49))
    assert advise(tally.to_json(unanswered=0, absent=0)) is None
