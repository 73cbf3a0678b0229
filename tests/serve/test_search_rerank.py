"""A search whose documents a real tiny cross-encoder ranks anew."""

from typing import Any

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from starlette.testclient import TestClient

from serve.replica.rerank import Ranker
from serve.replica.served_model import ServedModel
from tests.serve.conftest import DOCUMENTS, Client, load
from tests.serve.replicas import RankingReplica, Replica

QUERY = "pain of the heart"


@pytest.fixture
def searching(searched: ServedModel, ranker: Ranker, client_of: Client) -> TestClient:
    return client_of(Replica(searched), RankingReplica(ranker), max_k=40)


def search(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/search", json=body)
    assert response.status_code == status, response.text
    return dict(response.json())


def test_a_search_ranks_anew_what_it_found_by_the_text_of_each(
    searching: TestClient, cross_folder: Any
):
    by_vectors = search(searching, query=QUERY, k=20)
    ranked = search(searching, query=QUERY, k=4, rerank=20)
    texts = [hit["fields"]["text"] for hit in by_vectors["data"]]
    stock = CrossEncoder(str(cross_folder), device="cpu").predict([(QUERY, text) for text in texts])
    best = [by_vectors["data"][place] for place in np.argsort(-stock, kind="stable")[:4]]
    assert [hit["id"] for hit in ranked["data"]] == [hit["id"] for hit in best]
    assert [hit["score"] for hit in ranked["data"]] == [hit["score"] for hit in best]
    relevance = [hit["relevance_score"] for hit in ranked["data"]]
    assert np.abs(np.array(relevance) - np.sort(stock)[::-1][:4]).max() < 1e-4
    assert ranked["usage"]["total_tokens"] > by_vectors["usage"]["total_tokens"]
    assert (ranked["model"], ranked["table"]) == (by_vectors["model"], by_vectors["table"])
    assert "relevance_score" not in by_vectors["data"][0]


def test_each_of_several_queries_is_ranked_on_its_own_and_one_that_found_nothing_has_nothing(
    searching: TestClient,
):
    queries = [QUERY, "brain"]
    many = search(searching, query=queries, k=3, rerank=9)["data"]
    assert [each["data"] for each in many] == [
        search(searching, query=q, k=3, rerank=9)["data"] for q in queries
    ]
    assert search(searching, query=QUERY, rerank=10, filter={"language": "fr"})["data"] == []
    assert len(DOCUMENTS) > 40
    assert len(search(searching, query=QUERY, rerank=40)["data"]) == 10


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": QUERY, "k": 5, "rerank": 4}, "expected k (5) to 40"),
        ({"query": QUERY, "rerank": 41}, "expected k (10) to 40 (limits.max_k)"),
        ({"query": [QUERY] * 60, "rerank": 40}, "at most 2048 are ranked in all"),
        ({"embedding": [1.0] * 32, "rerank": 10}, "give a query, not an embedding"),
    ],
)
def test_a_rerank_that_cannot_be_is_refused(searching: TestClient, body: dict[str, Any], says: str):
    error = search(searching, 400, **body)["error"]
    assert (error["param"], says in error["message"]) == ("rerank", True), error["message"]


def test_without_texts_or_a_cross_encoder_a_search_is_not_ranked_anew(
    searched: ServedModel, trained_folder: Any, table: Any, ranker: Ranker, client_of: Client
):
    textless = client_of(Replica(load(trained_folder, table=str(table))), RankingReplica(ranker))
    assert (
        "text among search.fields"
        in search(textless, 400, query=QUERY, rerank=10)["error"]["message"]
    )
    alone = client_of(Replica(searched))
    assert search(alone, 404, query=QUERY, rerank=10)["error"]["code"] == "no_reranker"
