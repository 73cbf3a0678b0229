import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.mining.config import MiningConfig
from medembed.mining.negatives import Negative, choose_negatives

CANDIDATES = [("positive", 0.9), ("too close", 0.88), ("hard", 0.8), ("harder than needed", 0.7), ("far", 0.1)]


def test_known_positives_and_what_scores_above_the_margin_are_no_negatives():
    choice = choose_negatives(CANDIDATES, 0.9, {"positive"}, MiningConfig(negatives=2, margin=0.05))
    assert choice.negatives == (Negative("hard", 0.8, 1), Negative("harder than needed", 0.7, 2))
    assert choice.too_close == 1


def test_the_window_counts_ranks_without_the_known_positives():
    choice = choose_negatives(CANDIDATES, 0.9, {"positive"}, MiningConfig(negatives=3, margin=0.05, window=2))
    assert [negative.document_id for negative in choice.negatives] == ["hard"]


def test_a_copy_of_the_positive_is_refused_even_without_a_margin_and_keeps_its_rank():
    choice = choose_negatives([("copy", 0.9), ("a", 0.8)], 0.9, set(), MiningConfig(margin=0), copies={"copy"})
    assert choice.negatives == (Negative("a", 0.8, 1),)
    assert choice.too_close == 1


@given(st.floats(-1, 1), st.lists(st.floats(-1, 1), max_size=20), st.floats(0, 1))
def test_no_negative_scores_above_the_positive_less_its_margin_negative_scores_included(
    positive: float, scores: list[float], margin: float
):
    candidates = [(f"d{number}", score) for number, score in enumerate(sorted(scores, reverse=True))]
    choice = choose_negatives(candidates, positive, set(), MiningConfig(negatives=5, margin=margin, window=30))
    assert all(negative.score <= positive - margin * abs(positive) for negative in choice.negatives)


def test_a_negative_positive_score_keeps_its_margin_below_itself():
    """score < 0.95 x positive would let -0.4 pass above a positive of -0.41."""
    choice = choose_negatives([("a", -0.4), ("b", -0.5)], -0.41, set(), MiningConfig(margin=0.05))
    assert [negative.document_id for negative in choice.negatives] == ["b"]


def test_scores_given_are_the_scores_kept():
    assert choose_negatives([("a", 0.5)], 1.0, set(), MiningConfig()).negatives[0].score == pytest.approx(0.5)
