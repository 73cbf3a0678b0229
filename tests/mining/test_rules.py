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


@pytest.mark.parametrize(
    ("window", "documents", "passed"),
    [(1, ["a"], 0), (2, ["a", "b"], 1), (4, ["a", "b", "c", "d"], 2), (9, ["a", "b", "c", "d"], 2)],
)
def test_ranks_count_documents_that_are_no_known_positive_and_none_behind_the_window(
    window: int, documents: list[str], passed: int
):
    chunks = [f"{name}#chunk-1" for name in NAMES]
    taken = take_window(NAMES, chunks, SCORES, {"positive", "other positive"}, window)
    assert taken.documents == documents
    assert taken.rows == [f"{name}#chunk-1" for name in documents]
    assert taken.scores.tolist() == [0.95, 0.88, 0.8, 0.1][:window]
    assert taken.positives_passed == passed


def test_a_search_that_found_nothing_gives_an_empty_window():
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
        ({"margin": 0.05, "margin_from": 0.8}, 0.9, 0.895),
        ({"margin": 0.05, "margin_from": 0.8}, 0.7, 0.695),
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
    scores = SCORES[[0, 2, 3, 5]]
    verdicts = [BEFORE_FIRST, ABOVE_MAX, KEPT, BELOW_MIN]
    assert sift(scores, FREE, 1.0, config).tolist() == verdicts
    verdicts = [BEFORE_FIRST, ABOVE_MARGIN, KEPT, BELOW_MIN]
    assert sift(scores, FREE, 0.9, config).tolist() == verdicts
    known = np.array([SAME_WORDS, JUDGED, SAME_CONTENT, KEPT], np.int8)
    assert sift(scores, known, 0.9, config).tolist() == [*known[:3], BELOW_MIN]
