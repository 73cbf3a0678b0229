import numpy as np
import pytest

from medembed.mining.config import MiningConfig
from medembed.mining.rules import (
    ABOVE_MARGIN,
    ABOVE_MAX,
    BEFORE_FIRST,
    BELOW_MIN,
    JUDGED,
    KEPT,
    SAME_CONTENT,
    SAME_WORDS,
    find_copies,
    highest_score,
    sift,
    take_window,
)

NAMES = ["a", "positive", "b", "c", "other positive", "d"]
SCORES = np.array([0.95, 0.9, 0.88, 0.8, 0.7, 0.1])
FREE = np.full(4, KEPT, np.int8)


def test_ranks_count_documents_that_are_no_known_positive():
    window = take_window(
        NAMES, [f"{name}#chunk-1" for name in NAMES], SCORES, {"positive", "other positive"}, 4
    )
    assert window.documents == ["a", "b", "c", "d"]
    assert window.rows == ["a#chunk-1", "b#chunk-1", "c#chunk-1", "d#chunk-1"]
    assert window.scores.tolist() == [0.95, 0.88, 0.8, 0.1]
    assert window.positives_passed == 2


@pytest.mark.parametrize(
    ("window", "documents", "known"), [(1, ["a"], 0), (2, ["a", "b"], 1), (3, ["a", "b", "c"], 1)]
)
def test_known_positives_behind_the_window_are_not_looked_at(
    window: int, documents: list[str], known: int
):
    taken = take_window(NAMES, NAMES, SCORES, {"positive", "other positive"}, window)
    assert (taken.documents, taken.positives_passed) == (documents, known)


def test_a_corpus_smaller_than_the_window_gives_what_it_has():
    taken = take_window(NAMES, NAMES, SCORES, {"positive"}, 100)
    assert (len(taken.documents), taken.positives_passed) == (5, 1)
    assert take_window([], [], np.zeros(0), {"positive"}, 100).documents == []


def test_a_copy_is_known_by_its_content_first_then_by_its_words():
    content, words = np.array([1, 2, 3, 4]), np.array([7, 7, 9, 8])
    copies = find_copies(content, words, np.array([1, 9]), np.array([7]))
    assert copies.tolist() == [SAME_CONTENT, SAME_WORDS, KEPT, KEPT]


@pytest.mark.parametrize(
    ("settings", "positive", "limit"),
    [
        ({"margin": 0.05}, 0.8, 0.76),
        ({"margin": 0.05}, -0.4, -0.42),
        ({"margin": 0}, 0.8, 0.8),
        ({"margin": 0, "margin_absolute": 0.1}, 0.8, 0.7),
        ({"margin": None, "margin_absolute": 0.1}, -0.4, -0.5),
        ({"margin": 0.5, "margin_absolute": 0.1}, 0.8, 0.4),
        ({"margin": None}, 0.8, np.inf),
    ],
)
def test_the_margins_say_what_a_negative_may_score(
    settings: dict[str, float], positive: float, limit: float
):
    assert highest_score(positive, MiningConfig(**settings)) == pytest.approx(limit)


def test_a_candidate_counts_under_the_first_rule_that_refuses_it():
    config = MiningConfig(margin=0.1, max_score=0.85, min_score=0.2, first_rank=1)
    assert sift(SCORES[[0, 2, 3, 5]], FREE, 1.0, config).tolist() == [
        BEFORE_FIRST,
        ABOVE_MAX,
        KEPT,
        BELOW_MIN,
    ]
    assert sift(SCORES[[0, 2, 3, 5]], FREE, 0.9, config).tolist() == [
        BEFORE_FIRST,
        ABOVE_MARGIN,
        KEPT,
        BELOW_MIN,
    ]
    known = np.array([SAME_WORDS, JUDGED, SAME_CONTENT, KEPT], np.int8)
    assert sift(SCORES[[0, 2, 3, 5]], known, 0.9, config).tolist() == [
        SAME_WORDS,
        JUDGED,
        SAME_CONTENT,
        BELOW_MIN,
    ]
