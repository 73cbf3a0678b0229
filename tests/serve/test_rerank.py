"""POST /v1/rerank, and searches that a cross-encoder ranks again, over a real tiny one."""

import asyncio
import hashlib
import json
import logging
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sentence_transformers import CrossEncoder
from starlette.testclient import TestClient

from serve.replica.compute import RequestPart, compute_together
from serve.replica.protocol import Refused, RerankCall
from serve.replica.rerank import Ranker, rerank
from serve.replica.served_model import ServedModel
from tests.cross import QUERY, TEXTS
from tests.serve.conftest import Client, load
from tests.serve.replicas import Failing, RankingReplica, Replica, run_together

LONG = "heart " * 100
QUESTION = "pain of the heart"


@pytest.fixture
def client(trained: ServedModel, ranker: Ranker, client_of: Client) -> TestClient:
    return client_of(Replica(trained), RankingReplica(ranker))


@pytest.fixture
def searching(searched: ServedModel, ranker: Ranker, client_of: Client) -> TestClient:
    return client_of(Replica(searched), RankingReplica(ranker), max_k=40)


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
    client: TestClient, ranker: Ranker, scores: list[float]
):
    answer = ask(client, query=QUERY, documents=TEXTS, model="reranker")
    expected = sorted(range(len(TEXTS)), key=lambda index: (-round(scores[index], 6), index))
    assert [entry["index"] for entry in answer["results"]] == expected
    assert expected.index(1) == expected.index(0) + 1, "the same text twice"
    for entry in answer["results"]:
        assert set(entry) == {"index", "relevance_score"}
        assert abs(entry["relevance_score"] - scores[entry["index"]]) < 1e-4
    assert (answer["object"], answer["model"]) == ("list", "reranker")
    tokenizer = ranker.encoder.model.tokenizer
    tokens = sum(len(tokenizer(QUERY, text)["input_ids"]) for text in TEXTS)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_only_the_best_come_back_and_texts_only_where_they_are_asked_for(client: TestClient):
    best = ask_texts(client)
    for top_n in (1, 6, 99, None):
        assert ask_texts(client, top_n=top_n) == best[:top_n]
    for entry in ask_texts(client, return_documents=True):
        assert entry["document"] == {"text": TEXTS[entry["index"]]}


def test_too_long_a_pair_is_refused_or_cut_as_asked_or_as_the_operator_chose(
    client: TestClient, trained: ServedModel, ranker: Ranker, client_of: Client, cross_folder: Any
):
    error = refused(client, 400, "documents", documents=["heart", LONG])
    assert error["code"] == "context_length_exceeded"
    assert "documents[1]: with the query, has more than the 48 tokens" in error["message"]
    refused(client, 400, "documents", query=LONG)
    cutting = client_of(Replica(trained), RankingReplica(ranker), truncate="end")
    stock = CrossEncoder(str(cross_folder), device="cpu")
    (expected,) = stock.predict([(QUERY, LONG)], show_progress_bar=False)
    for results in (
        ask(client, query=QUERY, documents=["heart", LONG], truncate="end")["results"],
        ask(cutting, query=QUERY, documents=["heart", LONG])["results"],
    ):
        by_index = {entry["index"]: entry for entry in results}
        assert [by_index[index]["truncated"] for index in (0, 1)] == [False, True]
        assert abs(by_index[1]["relevance_score"] - expected) < 1e-4


def test_documents_and_tokens_of_a_request_are_limited(
    trained: ServedModel, ranker: Ranker, client_of: Client, monkeypatch: pytest.MonkeyPatch
):
    replica = RankingReplica(ranker)
    client = client_of(Replica(trained), replica, max_items=600, max_tokens=200)
    many = refused(client, 400, "documents", documents=["a"] * 601)
    assert "found 601; at most 600" in many["message"]
    read: list[int] = []
    tokenize = ranker.encoder.tokenize
    monkeypatch.setattr(
        ranker.encoder, "tokenize", lambda pairs: read.append(len(pairs)) or tokenize(pairs)
    )
    long = refused(client, 400, "documents", documents=["skin " * 30] * 600)
    assert "at most 200 are taken" in long["message"]
    assert read == [64], "it is not read to its end"
    assert not replica.passes, "nothing of it is computed"


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"documents": []}, "documents", "one at least"),
        ({"documents": ["a", ""]}, "documents", "none of them empty"),
        ({"documents": "heart"}, "documents", "a list of strings"),
        ({"documents": [{"text": "heart"}]}, "documents", "a list of strings"),
        ({"query": ""}, "query", "not an empty one"),
        ({"query": ["heart"]}, "query", "expected a string"),
        ({"top_n": 0}, "top_n", "greater than or equal to 1"),
        ({"return_documents": "yes"}, "return_documents", "boolean"),
        ({"texts": ["heart"]}, "texts", "nearest known field"),
        ({"truncate": "start"}, "truncate", "'error' or 'end'"),
    ],
)
def test_a_fault_names_the_field_and_never_the_text(
    client: TestClient, body: dict[str, Any], param: str, says: str
):
    assert says in refused(client, 400, param, **body)["message"]


def test_the_model_list_and_each_answer_name_the_cross_encoder(client: TestClient, ranker: Ranker):
    first, last = client.get("/v1/models").json()["data"]
    assert (first["id"], first["capabilities"]) == ("medembed", ["embed"])
    assert (last["id"], last["capabilities"], last["version"]) == ("reranker", ["rerank"], "7")
    assert (last["width"], last["fingerprint"]) == (None, ranker.encoder.fingerprint)
    assert client.get("/v1/models/reranker").json() == last
    for documents in (TEXTS, [LONG]):
        answer = client.post("/v1/rerank", json={"query": QUERY, "documents": documents})
        assert answer.headers["x-model-version"] == "7"
        assert answer.headers["x-model-fingerprint"] == ranker.encoder.fingerprint
    for name in ("other", "medembed", "reranker/6"):
        error = refused(client, 404, "model", model=name)
        assert error["code"] == "model_not_found"
        assert "served: 'reranker'" in error["message"]
    assert ask_texts(client, model="reranker/7")
    ask(client, 404, "/v1/embeddings", model="reranker", input="a")


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
    body = {"query": QUERY, "documents": TEXTS, "top_n": 2}
    assert client.post("/v1/rerank", json=body).status_code == 401
    with caplog.at_level(logging.INFO, "serve.access"):
        client.post("/v1/rerank", json=body, headers={"Authorization": "Bearer k"})
    line = json.loads(caplog.messages[-1])
    assert (line["route"], line["items"], line["top_n"]) == ("/v1/rerank", 6, 2)
    assert line["model"] == "reranker"
    assert line["tokens"] > 6
    assert "heart" not in caplog.text


async def compute_at_once(part: RequestPart) -> npt.NDArray[np.float32]:
    return compute_together([part])[0]


def test_a_request_is_computed_part_by_part_and_pairs_of_several_share_a_pass(
    ranker: Ranker, scores: list[float]
):
    calls = (
        RerankCall(QUERY, TEXTS),
        RerankCall(QUERY, TEXTS[:1]),
        RerankCall("a", ["b"], model="other"),
    )
    asks = [partial(rerank, call, ranker, batch_tokens=64) for call in calls]
    together = run_together(*asks)
    large, small, other = together.results
    assert isinstance(other, Refused)
    assert max(map(len, together.batches)) == 2
    assert len(together.batches) > 1
    for document in (*large.documents, *small.documents):
        assert abs(document.score - scores[document.index]) < 1e-5


def test_of_a_request_whose_caller_left_nothing_more_is_computed(ranker: Ranker):
    passes: list[int] = []

    async def run() -> None:
        begun = asyncio.Event()

        async def compute(part: RequestPart) -> npt.NDArray[np.float32]:
            passes.append(len(part.tokens))
            begun.set()
            await asyncio.sleep(0)
            return await compute_at_once(part)

        task = asyncio.create_task(rerank(RerankCall(QUERY, TEXTS * 50), ranker, compute, 64))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(passes) == 1


def test_a_request_that_cannot_be_in_time_is_refused_after_its_first_part(ranker: Ranker):
    call = RerankCall(QUERY, TEXTS * 9, within_s=1e-6)
    late = asyncio.run(rerank(call, ranker, compute_at_once, 64))
    assert isinstance(late, Refused)
    assert (late.error.code, late.error.param) == ("too_slow", "documents")


def search(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    return ask(client, status, "/v1/search", **({"query": QUESTION} | body))


def test_a_search_ranks_again_what_it_found_by_the_text_of_each(
    searching: TestClient, cross_folder: Any
):
    by_vectors = search(searching, k=20)
    ranked = search(searching, k=4, rerank=20)
    texts = [hit["fields"]["text"] for hit in by_vectors["data"]]
    pairs = [(QUESTION, text) for text in texts]
    stock = CrossEncoder(str(cross_folder), device="cpu").predict(pairs)
    for hit, place in zip(ranked["data"], np.argsort(-stock, kind="stable")[:4], strict=True):
        assert abs(hit.pop("relevance_score") - stock[place]) < 1e-4
        assert hit == by_vectors["data"][place]
    assert ranked["usage"]["total_tokens"] > by_vectors["usage"]["total_tokens"]
    assert (ranked["model"], ranked["table"]) == (by_vectors["model"], by_vectors["table"])

    many = search(searching, query=[QUESTION, "brain"], k=4, rerank=20)["data"]
    assert [hit["id"] for hit in many[0]["data"]] == [hit["id"] for hit in ranked["data"]]
    assert many[1]["data"] == search(searching, query="brain", k=4, rerank=20)["data"]
    assert search(searching, rerank=10, filter={"language": "fr"})["data"] == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"k": 5, "rerank": 4}, "expected k (5) to 40"),
        ({"rerank": 41}, "expected k (10) to 40 (limits.max_k)"),
        ({"query": [QUESTION] * 60, "rerank": 40}, "at most 2048 are ranked in all"),
        ({"query": None, "embedding": [1.0] * 32, "rerank": 10}, "give a query, not an embedding"),
    ],
)
def test_a_search_that_cannot_be_ranked_again_is_refused(
    searching: TestClient, body: dict[str, Any], says: str
):
    error = search(searching, 400, **body)["error"]
    assert error["param"] == "rerank"
    assert says in error["message"]


def test_without_a_cross_encoder_or_texts_nothing_is_ranked(
    searched: ServedModel, trained_folder: Any, table: Any, ranker: Ranker, client_of: Client
):
    alone = client_of(Replica(searched))
    error = refused(alone, 404, None)
    assert error["code"] == "no_reranker"
    assert "rerank.model=" in error["message"]
    assert search(alone, 404, rerank=10)["error"]["code"] == "no_reranker"
    assert alone.get("/health/ready").status_code == 200
    assert len(alone.get("/v1/models").json()["data"]) == 1
    textless = client_of(Replica(load(trained_folder, table=str(table))), RankingReplica(ranker))
    assert "text among search.fields" in search(textless, 400, rerank=10)["error"]["message"]
