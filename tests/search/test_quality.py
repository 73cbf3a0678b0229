"""Compute by hand what a search misses."""

import numpy as np
import pytest

from medembed.search.quality import measure_search, recall_of
from medembed.search.ranking import Ranking


def test_recall_counts_ids_that_exact_search_has_and_no_empty_places():
    exact = Ranking.of(np.array([["a", "b"], ["c", ""], ["", ""]]), np.zeros((3, 2), np.float32))
    ranking = Ranking.of(np.array([["b", "x"], ["", "c"], ["y", ""]]), np.zeros((3, 2), np.float32))
    assert recall_of(ranking, exact) == pytest.approx((0.5 + 1 + 1) / 3)


def test_both_searches_get_the_same_sample_and_what_is_missed_is_a_mean_over_it():
    asked = []

    def exact(queries: np.ndarray) -> Ranking:
        asked.append(queries)
        return Ranking.of(
            np.array([["a", "b"]] * len(queries)), np.zeros((len(queries), 2), np.float32)
        )

    def search(queries: np.ndarray) -> Ranking:
        asked.append(queries)
        return Ranking.of(
            np.array([["b", "a"], ["a", "x"], ["x", "y"]]), np.zeros((3, 2), np.float32)
        )

    queries = np.arange(16, dtype=np.float32).reshape(8, 2)
    quality = measure_search(search, exact, queries, sample=3)
    assert (quality.recall, quality.queries) == (pytest.approx(0.5), 3)
    assert all(np.array_equal(sample, queries[[0, 3, 7]]) for sample in asked)
    assert quality.seconds > 0 < quality.exact_seconds
