import numpy as np
import pytest

from medembed.evaluation.rank import (
    best_others,
    score_judged,
    score_rankings,
    search_depth,
    without_own,
)
from medembed.search.corpus import top_k
from medembed.search.ranking import Ranking

QRELS = {"q1": {"a": 0.0, "b": 2.0}, "q5": {"a": 0.5}}


def test_a_document_behind_one_of_three_chunks_is_second():
    """Judged by rows, the positive would be fourth: reciprocal rank 1/4."""
    ids = ["a#chunk-0", "a#chunk-1", "a#chunk-2", "b#chunk-0", "b#chunk-1"]
    rows = np.asarray([[9, 1], [8, 2], [7, 3], [6, 4], [5, 5]], dtype=np.float32)
    ranking = top_k(np.array([[1, 0]], np.float32), ids, rows, 100, by_document=True)
    values = score_rankings({1: ranking}, ["q1"], QRELS, (10,))[1]
    assert values["mrr@10"][0] == pytest.approx(1 / 2)
    assert values["ndcg@10"][0] == pytest.approx(1 / np.log2(3))
    assert values["recall@10"][0] == 1


def test_negative_accuracy_is_about_queries_with_a_judged_negative_alone():
    ranking = Ranking.of(
        np.array([["a", "b"], ["b", "a"]]), np.array([[0.9, 0.8], [0.9, 0.8]], np.float32)
    )
    values = score_rankings({2: ranking}, ["q1", "q5"], QRELS, (1, 2))[2]
    assert values["negative_accuracy@1"][0] == 1
    assert np.isnan(values["negative_accuracy@1"][1])
    without = score_rankings({2: ranking.take(np.array([1]))}, ["q5"], QRELS, (1,))[2]
    assert "negative_accuracy@1" not in without


def test_judged_cosines_are_the_best_of_each_kind_and_documents_that_the_corpus_lacks_do_not_count():
    lines = np.array([0, 0, 0, 1, 1, 2])
    scores = np.array([1.0, 2.0, 0.0, 1.0, 0.0, 1.0])
    cosines = np.array([0.3, 0.7, 0.5, 0.2, np.nan, np.nan])
    scored = score_judged(lines, scores, cosines, 3)
    assert scored.positive == pytest.approx([0.7, 0.2, np.nan], nan_ok=True)
    assert scored.negative == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert scored.right_share == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert scored.triplets.tolist() == [2.0, 0.0, 0.0]


def test_the_best_other_is_the_first_that_is_no_positive():
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, -np.inf]], np.float32)
    ranking = Ranking.of(np.array([["b", "x", "a"], ["a", "x", ""]]), scores)
    assert best_others(ranking, ["q1", "q5"], QRELS) == pytest.approx([0.8, 0.5])
    alone = Ranking.of(np.array([["a", ""]]), np.array([[0.6, -np.inf]], np.float32))
    assert np.isnan(best_others(alone, ["q5"], QRELS)[0])


def test_a_querys_own_text_leaves_its_ranking_and_the_rest_moves_up():
    names = np.array([["x#text-fr", "b", "a"], ["a", "x#text-fr", ""], ["b", "a", "c"]])
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.5, -np.inf], [0.9, 0.8, 0.7]], np.float32)
    asked = ["x#text-fr", "x#text-fr", "q1"]
    assert (search_depth(2, asked), search_depth(2, ["q1", "b"])) == (3, 2)
    left = without_own(Ranking.of(names, scores), asked)
    assert left.ids.tolist() == [["b", "a"], ["a", ""], ["b", "a"]]
    assert left.scores == pytest.approx(np.array([[0.8, 0.7], [0.9, -np.inf], [0.9, 0.8]]))
    alone = Ranking.of(names, scores)
    assert without_own(alone, ["q1", "b", "a"]) is alone, "an id alike is not the text itself"
