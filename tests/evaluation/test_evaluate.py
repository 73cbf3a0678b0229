import logging

import numpy as np
import pyarrow as pa
import pytest

from medembed.evaluation.evaluate import keep_measurable, score_rankings
from medembed.search.topk import top_k

QRELS = {"q1": {"a": 0.0, "b": 2.0}, "q2": {"a": 0.0}, "q4": {"c": -1.0}, "q5": {"a": 0.5}}


def test_queries_without_a_positive_are_left_out_and_counted(caplog: pytest.LogCaptureFixture):
    queries = pa.table({"query_id": ["q5", "q4", "q3", "q2", "q1"]})
    with caplog.at_level(logging.INFO, logger="medembed"):
        kept = keep_measurable(queries, QRELS)
    assert kept["query_id"].to_pylist() == ["q5", "q1"]
    assert caplog.messages == ["3 queries without a positive are not measured"]


def test_nothing_is_said_when_all_queries_are_measured(caplog: pytest.LogCaptureFixture):
    queries = pa.table({"query_id": ["q1", "q5"]})
    with caplog.at_level(logging.INFO, logger="medembed"):
        assert keep_measurable(queries, QRELS).equals(queries)
    assert not caplog.messages


def test_no_query_at_all_leaves_none():
    assert keep_measurable(pa.table({"query_id": pa.array([], pa.string())}), QRELS).num_rows == 0


def test_a_document_behind_one_of_three_chunks_is_second():
    """Judged by rows, the positive would be fourth: reciprocal rank 1/4."""
    ids = np.asarray(["a#chunk-0", "a#chunk-1", "a#chunk-2", "b#chunk-0", "b#chunk-1"])
    rows = np.asarray([[0.9], [0.8], [0.7], [0.6], [0.5]], dtype=np.float32)
    ranking = top_k(np.ones((1, 1), np.float32), ids, rows, 100, by_document=True)
    values = score_rankings({1: ranking}, ["q1"], QRELS)[1]
    assert values["mrr@10"][0] == pytest.approx(1 / 2)
    assert values["ndcg@10"][0] == pytest.approx(1 / np.log2(3))
    assert values["recall@10"][0] == 1
