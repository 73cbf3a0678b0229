"""The served model over real HTTP and Ray Serve, with an unmodified openai client."""

import base64
import http.client
import json
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer
from starlette.testclient import TestClient

from medembed.errors import ModelError, ServiceError
from serve.http.api import make_app
from serve.http.settings import HttpSettings
from serve.operate.run import find_port, serving
from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY, Replica
from tests.stranger import attack_sockets

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
TEXTS = ["heart pain", "skin rash of the left hand", "brain"]
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)


def post(url: str, body: Any) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/v1/embeddings", data, HEADERS)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("dimensions", [32, 8])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_an_openai_client_gets_the_vectors_of_the_stock_model(
    client: openai.OpenAI, trained_folder: Path, dimensions: int, encoding: str | None
):
    chosen = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(
        model="medembed", input=TEXTS, dimensions=dimensions, **chosen
    )
    rows = [
        np.frombuffer(base64.b64decode(row.embedding), "<f4")
        if isinstance(row.embedding, str)
        else row.embedding
        for row in answer.data
    ]
    stock = SentenceTransformer(str(trained_folder), device="cpu", truncate_dim=dimensions)
    assert (
        np.abs(np.array(rows) - stock.encode_query(TEXTS, normalize_embeddings=True)).max() < 1e-5
    )
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS) * 3


def test_an_openai_client_that_asks_for_bits_gets_those_of_the_stock_model(
    client: openai.OpenAI, trained_folder: Path
):
    answer = client.embeddings.create(
        model="medembed", input=TEXTS, extra_body={"output_dtype": "ubinary"}
    )
    stock = SentenceTransformer(str(trained_folder), device="cpu").encode_query(TEXTS)
    assert [row.embedding for row in answer.data] == np.packbits(stock > 0, axis=1).tolist()


def test_documents_get_the_documents_prompt(client: openai.OpenAI, trained_folder: Path):
    answer = client.embeddings.create(
        model="medembed",
        input=TEXTS[0],
        encoding_format="float",
        extra_body={"input_type": "document"},
    )
    stock = SentenceTransformer(str(trained_folder), device="cpu")
    expected = stock.encode_document([TEXTS[0]], normalize_embeddings=True)
    assert np.abs(np.array(answer.data[0].embedding) - expected[0]).max() < 1e-5


def test_the_model_list_names_version_fingerprint_and_trained_dimensions(client: openai.OpenAI):
    entry, ranker = client.models.list().data
    assert ranker.id == "reranker"
    details = entry.model_dump()
    assert (entry.id, details["dimensions"], details["width"], len(details["fingerprint"])) == (
        "medembed",
        [32, 8],
        32,
        16,
    )


def test_requests_that_arrive_together_get_their_own_answers(client: openai.OpenAI, url: str):
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"heart pain {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda text: post(url, {"model": "medembed", "input": text})[1], texts)
        )
    alone = client.embeddings.create(model="medembed", input=texts, encoding_format="float").data
    for one, other in zip(together, alone, strict=True):
        assert (
            np.abs(np.array(one["data"][0]["embedding"]) - np.array(other.embedding)).max() < 1e-5
        )


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "medembed", "input": "SECRET", "dimensions": 16}, 400, "dimensions"),
        ({"model": "medembed", "input": "SECRET", "dimensions": 64}, 400, "dimensions"),
        ({"model": "medembed", "input": "SECRET", "dimensionss": 8}, 400, "dimensionss"),
        ({"model": "medembed", "input": []}, 400, "input"),
        ({"model": "other", "input": "SECRET"}, 404, "model"),
        ({"input": "SECRET"}, 400, "model"),
        (b'{"model": "medembed", "input": "SECRET', 400, None),
    ],
)
def test_errors_have_openais_shape_name_the_field_and_never_the_text(
    url: str, body: Any, status: int, param: str | None
):
    code, answer = post(url, body)
    assert (code, answer["error"]["type"], answer["error"]["param"]) == (
        status,
        "invalid_request_error",
        param,
    )
    assert "SECRET" not in json.dumps(answer)


def test_a_search_finds_what_the_same_replica_finds_in_process(url: str, searched: ServedModel):
    body = {"query": "pain of the heart", "k": 4, "dimensions": 8}
    request = urllib.request.Request(f"{url}/v1/search", json.dumps(body).encode(), HEADERS)
    with urllib.request.urlopen(request, timeout=30) as response:
        found = json.load(response)
    assert (
        found
        == TestClient(make_app(Replica(searched), HttpSettings()))
        .post("/v1/search", json=body)
        .json()
    )
    with urllib.request.urlopen(url, timeout=30) as response:
        assert b"<title>MedEmbed</title>" in response.read()


def test_documents_are_ranked_by_the_scores_of_the_stock_cross_encoder(
    url: str, cross_folder: Path
):
    request = urllib.request.Request(
        f"{url}/v1/rerank",
        json.dumps({"query": "pain", "documents": TEXTS, "model": "reranker"}).encode(),
        HEADERS,
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found = {
            entry["index"]: entry["relevance_score"] for entry in json.load(response)["results"]
        }
    stock = CrossEncoder(str(cross_folder), device="cpu").predict(
        [("pain", text) for text in TEXTS]
    )
    assert list(found) == np.argsort(-stock, kind="stable").tolist()
    assert np.abs([found[index] for index in range(len(TEXTS))] - stock).max() < 1e-4


def test_ready_means_that_a_forward_pass_succeeded(url: str):
    with urllib.request.urlopen(f"{url}/health/ready", timeout=30) as response:
        assert json.load(response)["status"] == "ready"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/nowhere", headers=HEADERS), timeout=30
        )
    assert caught.value.code == 404
    assert json.load(caught.value)["error"]["type"] == "invalid_request_error"


def test_without_a_key_nothing_is_answered(url: str):
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="API key is missing"):
        stranger.embeddings.create(model="medembed", input="heart")


def test_probes_of_another_user_without_a_key_take_no_places_from_who_has_one(url: str):
    with ThreadPoolExecutor(1) as attacker:
        probed = attacker.submit(attack_sockets, "probe", url, 300)
        statuses = [post(url, {"model": "medembed", "input": "heart"})[0] for _ in range(20)]
        assert set(probed.result()) == {200}
    assert set(statuses) == {200}


def test_a_request_id_is_made_or_sent_back_once(url: str):
    for own, sent in (({}, None), ({"x-request-id": "mine-1"}, "mine-1")):
        status, headers, _ = raw(
            url, json.dumps({"model": "medembed", "input": "heart"}).encode(), own
        )
        (found,) = headers.get_all("x-request-id") or []
        assert (status, found) == (200, sent or found)
        assert len(found) > 4


def test_a_body_without_a_length_is_stopped_at_the_limit(url: str):
    status, _, answer = raw(url, iter([b" " * 10_000] * 11))
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def raw(
    url: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, Any]]:
    """An iterator as a body is sent in chunks."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v1/embeddings", body, HEADERS | (headers or {}))
    response = connection.getresponse()
    return response.status, response.headers, json.loads(response.read())


def test_a_port_in_use_is_a_one_line_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServiceError, match=r"port \d+ on 127.0.0.1: Address already in use"):
            find_port(taken.getsockname()[1])


def test_a_model_that_cannot_be_loaded_starts_nothing(tmp_path: Path):
    with (
        pytest.raises(ModelError, match="no such folder"),
        serving({"model": str(tmp_path / "none")}),
    ):
        pass
