"""Values by hand, and equality with pytrec_eval and sentence-transformers' evaluator on any run."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from medembed.evaluation.metrics import (
    f1,
    ndcg,
    negative_accuracy,
    parse_metric,
    triplet_accuracy,
)
from medembed.evaluation.rank import score_rankings
from medembed.search.corpus import top_k

GRADES = np.array([[0.0, 2.0, 0.0, 1.0]])
JUDGED = [[2.0, 1.0, 1.0]]
DEPTHS = (1, 3, 5, 10, 100)


def test_graded_ndcg_is_linear_gain_over_its_ideal():
    expected = (2 / math.log2(3) + 1 / math.log2(5)) / (2 + 1 / math.log2(3) + 1 / math.log2(4))
    assert ndcg(GRADES, JUDGED, 10)[0] == pytest.approx(expected)


def test_f1_and_negative_accuracy_by_hand():
    assert f1(GRADES, JUDGED, 4)[0] == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert f1(np.zeros((1, 5)), [[1.0]], 3)[0] == 0
    assert negative_accuracy(np.array([[False, False, True]]), 2)[0] == 0
    assert negative_accuracy(np.array([[False, False, True]]), 3)[0] == 1


def test_triplets_are_all_pairs_of_a_positive_and_a_judged_negative_and_equal_cosines_are_wrong():
    share, triplets = triplet_accuracy(
        [np.array([0.9, 0.3]), np.array([0.5]), np.array([0.5])],
        [np.array([0.5, 0.3, 0.1]), np.array([0.5]), np.array([])],
    )
    assert triplets.tolist() == [6, 1, 0]
    assert share[:2].tolist() == [pytest.approx(4 / 6), 0.0]
    assert np.isnan(share[2])


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndgc@10", "ndcg@1001", "ndcg@-1"])
def test_what_is_no_metric_at_a_depth_is_refused(name: str):
    with pytest.raises(ValueError, match="e.g. ndcg@10"):
        parse_metric(name)
    assert parse_metric("map@100") == ("map", 100)


@st.composite
def runs(draw: st.DrawFn, top_grade: int) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
    """(scores [queries, documents] with many ties, judgments: each query has a positive, some
    judged zeros).
    """
    queries, documents = draw(st.integers(1, 4)), draw(st.integers(2, 30))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = generator.integers(-5, 6, size=(queries, documents)).astype(np.float32) / 5
    qrels: dict[str, dict[str, float]] = {}
    for query in range(queries):
        chosen = generator.choice(documents, generator.integers(1, documents + 1), replace=False)
        grades = generator.integers(0, top_grade + 1, size=len(chosen)).astype(float)
        grades[0] = top_grade
        qrels[f"q{query}"] = {f"d{n}": grade for n, grade in zip(chosen, grades, strict=True)}
    return scores, qrels


def rank(scores: np.ndarray, depth: int = 100):
    ids = [f"d{n}" for n in range(scores.shape[1])]
    return top_k(scores, ids, np.eye(scores.shape[1], dtype=np.float32), depth)


@given(runs(top_grade=4))
def test_every_metric_equals_pytrec_evals_on_any_graded_run(
    run: tuple[np.ndarray, dict[str, dict[str, float]]],
):
    scores, qrels = run
    ranking = rank(scores)
    ours = score_rankings({1: ranking}, list(qrels), qrels, DEPTHS)[1]
    theirs = {
        "ndcg": "ndcg_cut",
        "recall": "recall",
        "precision": "P",
        "map": "map_cut",
        "accuracy": "success",
    }
    evaluator = pytrec_eval.RelevanceEvaluator(
        {
            name: {document: int(grade) for document, grade in grades.items()}
            for name, grades in qrels.items()
        },
        {f"{measure}.{','.join(map(str, DEPTHS))}" for measure in theirs.values()} | {"recip_rank"},
    )
    # Its own rule for ties is another, so that our order is exported as scores.
    exported = {
        name: {document: float(-place) for place, document in enumerate(row) if document}
        for name, row in zip(qrels, ranking.ids.tolist(), strict=True)
    }
    expected = evaluator.evaluate(exported)
    for metric, their_name in theirs.items():
        for k in DEPTHS:
            values = [expected[name][f"{their_name}_{k}"] for name in qrels]
            assert ours[f"{metric}@{k}"] == pytest.approx(values, abs=1e-6)
    assert ours["mrr@100"] == pytest.approx(
        [expected[name]["recip_rank"] for name in qrels], abs=1e-6
    )


@given(runs(top_grade=1), st.integers(0, 100))
def test_every_metric_equals_information_retrieval_evaluators_on_binary_runs_without_ties(
    run: tuple[np.ndarray, dict[str, dict[str, float]]], seed: int
):
    scores, qrels = run
    scores = (
        np.random.default_rng(seed)
        .permuted(np.arange(scores.size, dtype=np.float32))
        .reshape(scores.shape)
    )
    relevant = {
        name: {document for document, grade in grades.items() if grade}
        for name, grades in qrels.items()
    }
    depths = list(DEPTHS)
    evaluator = InformationRetrievalEvaluator(
        dict.fromkeys(qrels, ""),
        {f"d{n}": "" for n in range(scores.shape[1])},
        relevant,
        write_csv=False,
        accuracy_at_k=depths,
        precision_recall_at_k=depths,
        mrr_at_k=depths,
        ndcg_at_k=depths,
        map_at_k=depths,
    )
    found = [
        [{"corpus_id": f"d{n}", "score": score} for n, score in enumerate(row)]
        for row in scores.tolist()
    ]
    theirs = evaluator.compute_metrics(found)
    ours = score_rankings({1: rank(scores)}, list(qrels), qrels, DEPTHS)[1]
    names = {
        "ndcg": "ndcg@k",
        "mrr": "mrr@k",
        "accuracy": "accuracy@k",
        "precision": "precision@k",
        "recall": "recall@k",
    }
    for metric, their_name in names.items():
        for k in DEPTHS:
            assert ours[f"{metric}@{k}"].mean() == pytest.approx(theirs[their_name][k], abs=1e-6)
    positives = np.array([len(row) for row in relevant.values()])
    for k in DEPTHS:  # it divides by min(k, positives), trec_eval and we by all positives
        assert (ours[f"map@{k}"] * positives / np.minimum(k, positives)).mean() == pytest.approx(
            theirs["map@k"][k], abs=1e-6
        )
