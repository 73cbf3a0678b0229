"""POST /v1/rerank, over a real tiny cross-encoder."""

import asyncio
import hashlib
import json
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sentence_transformers import CrossEncoder
from starlette.testclient import TestClient

from serve.replica.compute import Part, compute_together
from serve.replica.protocol import Refused
from serve.replica.rerank import Ranker, RerankCall, rerank
from serve.replica.served_model import ServedModel
from tests.cross import QUERY, TEXTS
from tests.serve.conftest import Client
from tests.serve.replicas import Failing, RankingReplica, Replica

LONG = "heart " * 100


@pytest.fixture
def client(trained: ServedModel, ranker: Ranker, client_of: Client) -> TestClient:
    return client_of(Replica(trained), RankingReplica(ranker))


def ask(
    client: TestClient, status: int = 200, path: str = "/v1/rerank", **body: Any
) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return dict(response.json())


def ask_texts(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    return list(ask(client, query=QUERY, documents=TEXTS, **body)["results"])


def refused(client: TestClient, status: int, param: str | None, **body: Any) -> dict[str, Any]:
    error = ask(client, status, **({"query": QUERY, "documents": TEXTS} | body))["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert "heart" not in error["message"]
    return dict(error)


def test_documents_come_by_the_scores_of_stock_sentence_transformers_and_like_scores_as_sent(
    client: TestClient, scores: list[float]
):
    answer = ask(client, query=QUERY, documents=TEXTS, model="reranker")
    expected = sorted(range(len(TEXTS)), key=lambda index: (-round(scores[index], 6), index))
    assert [entry["index"] for entry in answer["results"]] == expected
    assert expected.index(1) == expected.index(0) + 1, "the same text twice"
    for entry in answer["results"]:
        assert set(entry) == {"index", "relevance_score"}
        assert abs(entry["relevance_score"] - scores[entry["index"]]) < 1e-4
    assert (answer["object"], answer["model"]) == ("list", "reranker")


def test_usage_counts_the_tokens_of_all_pairs(client: TestClient, ranker: Ranker):
    tokenizer = ranker.encoder.model.tokenizer
    expected = sum(len(tokenizer(QUERY, text)["input_ids"]) for text in TEXTS)
    answer = ask(client, query=QUERY, documents=TEXTS, top_n=1)
    assert answer["usage"] == {"prompt_tokens": expected, "total_tokens": expected}


@pytest.mark.parametrize("top_n", [1, 3, 6, 99, None])
def test_top_n_are_the_best_so_many(client: TestClient, top_n: int | None):
    assert ask_texts(client, top_n=top_n) == ask_texts(client)[:top_n]


def test_texts_come_back_only_where_they_are_asked_for(client: TestClient):
    for entry in ask_texts(client, return_documents=True):
        assert entry["document"] == {"text": TEXTS[entry["index"]]}
    assert "document" not in ask_texts(client, return_documents=False)[0]


def test_too_long_a_pair_is_refused_or_cut_as_asked(client: TestClient, cross_folder: Any):
    error = refused(client, 400, "documents", documents=["heart", LONG])
    assert error["code"] == "context_length_exceeded"
    assert "documents[1]: with the query, has more than the 48 tokens" in error["message"]
    refused(client, 400, "documents", query=LONG)
    results = ask(client, query=QUERY, documents=["heart", LONG], truncate="end")["results"]
    by_index = {entry["index"]: entry for entry in results}
    assert [by_index[index]["truncated"] for index in (0, 1)] == [False, True]
    expected = CrossEncoder(str(cross_folder), device="cpu").predict(
        [(QUERY, LONG)], show_progress_bar=False
    )
    assert abs(by_index[1]["relevance_score"] - expected[0]) < 1e-4


def test_the_operator_may_choose_that_texts_are_cut(
    trained: ServedModel, ranker: Ranker, client_of: Client
):
    client = client_of(Replica(trained), RankingReplica(ranker), truncate="end")
    assert [
        entry["truncated"] for entry in ask(client, query=QUERY, documents=[LONG])["results"]
    ] == [True]


def test_documents_and_tokens_of_a_request_are_limited(
    trained: ServedModel, ranker: Ranker, client_of: Client
):
    replica = RankingReplica(ranker)
    client = client_of(Replica(trained), replica, max_items=6, max_tokens=200)
    assert (
        "found 7; at most 6"
        in refused(client, 400, "documents", documents=[*TEXTS, "a"])["message"]
    )
    assert (
        "at most 200 are taken"
        in refused(client, 400, "documents", documents=["skin " * 30] * 6)["message"]
    )
    assert not replica.passes, "nothing of it is computed"
    assert len(ask_texts(client)) == 6


def test_a_request_with_far_too_many_tokens_is_not_read_to_its_end(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
):
    read = []
    tokenize = ranker.encoder.tokenize
    monkeypatch.setattr(
        ranker.encoder, "tokenize", lambda pairs: read.append(len(pairs)) or tokenize(pairs)
    )
    work = RerankCall(QUERY, ["skin " * 30] * 2000, cuts=True, max_tokens=1000)
    assert isinstance(asyncio.run(rerank(work, ranker, compute_at_once, 64)), Refused)
    assert sum(read) == 64


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"documents": []}, "documents", "one at least"),
        ({"documents": ["a", ""]}, "documents", "none of them empty"),
        ({"documents": "heart"}, "documents", "a list of strings"),
        ({"documents": ["heart", 5]}, "documents", "a list of strings"),
        ({"documents": ["heart", None]}, "documents", "a list of strings"),
        ({"documents": [{"text": "heart"}]}, "documents", "a list of strings"),
        ({"documents": None}, "documents", "a list of strings"),
        ({"query": ""}, "query", "not an empty one"),
        ({"query": ["heart"]}, "query", "expected a string"),
        ({"query": None}, "query", "expected a string"),
        ({"top_n": 0}, "top_n", "greater than or equal to 1"),
        ({"top_n": "3"}, "top_n", "integer"),
        ({"return_documents": "yes"}, "return_documents", "boolean"),
        ({"texts": ["heart"]}, "texts", "nearest known field"),
        ({"truncate": "start"}, "truncate", "'error' or 'end'"),
    ],
)
def test_a_fault_names_the_field_and_never_the_text(
    client: TestClient, body: dict[str, Any], param: str, says: str
):
    assert says in refused(client, 400, param, **body)["message"]


def test_another_models_name_is_not_found_on_either_side(client: TestClient):
    for name in ("other", "medembed", "reranker/6"):
        error = refused(client, 404, "model", model=name)
        assert (error["code"], "served: 'reranker'" in error["message"]) == (
            "model_not_found",
            True,
        )
    assert ask(client, query=QUERY, documents=TEXTS, model="reranker/7")["results"]
    assert (
        ask(client, 404, "/v1/embeddings", model="reranker", input="a")["error"]["code"]
        == "model_not_found"
    )


def test_without_a_cross_encoder_the_route_says_what_the_operator_sets(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained))
    error = refused(client, 404, None)
    assert (error["code"], "rerank.model=" in error["message"]) == ("no_reranker", True)
    assert client.get("/health/ready").status_code == 200
    assert len(client.get("/v1/models").json()["data"]) == 1


def test_the_model_list_tells_what_each_can_do(client: TestClient, ranker: Ranker):
    first, last = client.get("/v1/models").json()["data"]
    assert (first["id"], first["capabilities"]) == ("medembed", ["embed"])
    assert (last["id"], last["capabilities"], last["version"]) == ("reranker", ["rerank"], "7")
    assert (last["width"], last["fingerprint"]) == (None, ranker.encoder.fingerprint)
    assert client.get("/v1/models/reranker").json() == last


def test_answers_and_refusals_name_the_cross_encoder(client: TestClient, ranker: Ranker):
    for body in ({"documents": TEXTS}, {"documents": [LONG]}):
        headers = client.post("/v1/rerank", json={"query": QUERY, **body}).headers
        assert headers["x-model-version"] == "7"
        assert headers["x-model-fingerprint"] == ranker.encoder.fingerprint


def test_a_server_is_ready_only_with_its_cross_encoder(
    trained: ServedModel, ranker: Ranker, client_of: Client
):
    replica = RankingReplica(ranker)
    assert client_of(Replica(trained), replica).get("/health/ready").status_code == 200
    assert replica.passes == [1]
    lost: Any = Failing(TimeoutError())
    lost.ranker = ranker
    client = client_of(Replica(trained), lost)
    assert client.get("/health/ready").status_code == 504
    assert ask(client, 504, query=QUERY, documents=TEXTS)["error"]["code"] == "timed_out"
    assert ask(client, path="/v1/embeddings", model="medembed", input="heart")["data"]


def test_a_key_is_needed_and_the_log_has_counts_and_no_text(
    trained: ServedModel, ranker: Ranker, client_of: Client, caplog: pytest.LogCaptureFixture
):
    hashes = (hashlib.sha256(b"k").hexdigest(),)
    client = client_of(Replica(trained), RankingReplica(ranker), hashes=hashes)
    refused_body = {"query": QUERY, "documents": TEXTS}
    assert client.post("/v1/rerank", json=refused_body).status_code == 401
    with caplog.at_level(logging.INFO, "serve.access"):
        client.post(
            "/v1/rerank", json={**refused_body, "top_n": 2}, headers={"Authorization": "Bearer k"}
        )
    line = json.loads(caplog.messages[-1])
    assert (line["route"], line["items"], line["top_n"], line["model"]) == (
        "/v1/rerank",
        6,
        2,
        "reranker",
    )
    assert line["tokens"] > 6
    assert "heart" not in caplog.text


async def compute_at_once(part: Part) -> npt.NDArray[np.float32]:
    return compute_together([part])[0]
