"""The embeddings API keeps its contract, over a real tiny model."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from medembed.codes import to_int8, to_uint8
from medembed.matryoshka import truncate
from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY, PROMPTS, Client, load
from tests.serve.replicas import Replica

TEXTS = ["heart pain", "skin rash of the left hand", "brain"]
LONG = "heart " * 100


def ask(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json={"model": "medembed", "input": TEXTS, **body})
    assert response.status_code == status, response.text
    return dict(response.json())


def rows(answer: dict[str, Any]) -> np.ndarray:
    return np.array([entry["embedding"] for entry in answer["data"]])


def refused(client: TestClient, status: int, param: str | None, **body: Any) -> str:
    error = ask(client, status, **body)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    return str(error["message"])


@pytest.mark.parametrize("dimensions", [32, 8, None])
@pytest.mark.parametrize("role", ["query", "document", None])
def test_rows_are_truncated_then_normalised_behind_the_roles_prompt(
    client: TestClient, trained: ServedModel, dimensions: int | None, role: Any
):
    answer = ask(client, dimensions=dimensions, input_type=role)
    expected = truncate(trained.encoder.encode(TEXTS, role or "query"), dimensions or 32)
    assert np.abs(rows(answer) - expected).max() < 1e-6
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    assert (
        np.abs(
            rows(ask(client, input=TEXTS[0], input_type=role))
            - rows(ask(client, input_type=role))[0]
        ).max()
        < 1e-6
    )


def test_usage_counts_the_tokens_that_the_model_read(client: TestClient, trained: ServedModel):
    tokenizer = trained.encoder.model.tokenizer
    expected = sum(len(tokenizer(PROMPTS["query"] + text)["input_ids"]) for text in TEXTS)
    assert ask(client)["usage"] == {"prompt_tokens": expected, "total_tokens": expected}


def test_too_long_an_input_is_refused_or_cut_as_asked(client: TestClient, trained: ServedModel):
    fitting = "heart " * (48 - trained.encoder.tokenize([""], "query").lengths[0])
    assert "truncated" not in ask(client, input=fitting)["data"][0]
    message = refused(client, 400, "input", input=[fitting, LONG])
    assert "input[1]: has 108 tokens; at most 48" in message
    answer = ask(client, input=[fitting, LONG], truncate="end")
    assert [entry["truncated"] for entry in answer["data"]] == [False, True]
    assert answer["usage"]["prompt_tokens"] == 2 * 48
    assert np.abs(rows(answer)[1] - trained.encoder.encode([LONG], "query")[0]).max() < 1e-6


def test_items_and_tokens_of_a_request_are_limited(trained: ServedModel, client_of: Client):
    replica = Replica(trained)
    small = client_of(replica, max_items=2, max_tokens=40)
    assert "has 3 items; at most 2" in refused(small, 400, "input")
    assert not replica.seen
    assert ask(small, input=["heart"] * 2)["usage"]["total_tokens"] <= 40
    assert "at most 40 are taken" in refused(small, 400, "input", input=["heart pain " * 8] * 2)


def test_a_trained_model_gives_its_trained_dimensions_only(client: TestClient):
    assert "[32, 8]" in refused(client, 400, "dimensions", dimensions=16)
    refused(client, 400, "dimensions", dimensions=64)
    entry = client.get("/v1/models").json()["data"][0]
    assert (entry["dimensions"], entry["trained"], entry["width"]) == ([32, 8], True, 32)


def test_a_stock_model_gives_any_dimensions_and_says_that_they_are_untrained(
    stock: ServedModel, client_of: Client
):
    client = client_of(Replica(stock))
    for dimensions, trained in ((1, "false"), (31, "false"), (32, "true")):
        body = {"model": "medembed", "input": "heart", "dimensions": dimensions}
        response = client.post("/v1/embeddings", json=body)
        assert len(response.json()["data"][0]["embedding"]) == dimensions
        assert response.headers["x-dimensions-trained"] == trained
    refused(client, 400, "dimensions", dimensions=33)
    assert client.get("/v1/models").json()["data"][0]["trained"] is False


@pytest.mark.parametrize("dimensions", [32, 12, 5])
def test_codes_are_those_of_the_full_vector_by_stored_ranges_whatever_the_company(
    stock: ServedModel, client_of: Client, dimensions: int
):
    client = client_of(Replica(stock))
    full = stock.encoder.encode(TEXTS, "query")
    bits = np.packbits(full[:, :dimensions] > 0, axis=1)
    for name, codes in (
        ("int8", to_int8(full, stock.ranges)[:, :dimensions]),
        ("uint8", to_uint8(full, stock.ranges)[:, :dimensions]),
        ("ubinary", bits),
        ("binary", bits.astype(int) - 128),
    ):
        for encoding in ("float", "base64"):  # which is what OpenAI's client asks for
            answer = ask(client, dimensions=dimensions, output_dtype=name, encoding_format=encoding)
            assert rows(answer).tolist() == codes.tolist()
        alone = ask(client, input=TEXTS[1], dimensions=dimensions, output_dtype=name)
        assert rows(alone).tolist() == codes[1:2].tolist()


def test_codes_without_stored_ranges_are_refused_with_what_is_missing(client: TestClient):
    assert "table=" in refused(client, 400, "output_dtype", output_dtype="int8")
    assert rows(ask(client, output_dtype="ubinary")).shape == (3, 4)
    assert client.get("/v1/models").json()["data"][0]["int8_ranges"] is None


def test_another_models_fingerprint_is_a_conflict(client: TestClient, trained: ServedModel):
    fingerprint = trained.model["fingerprint"]
    message = refused(client, 409, "expected_fingerprint", expected_fingerprint="0" * 16)
    assert fingerprint in message
    ask(client, expected_fingerprint=fingerprint)


def test_every_response_that_a_model_stands_behind_names_it(
    client: TestClient, trained: ServedModel
):
    ready = client.get("/health/ready")
    for response, status in (
        (client.get("/v1/models"), 200),
        (client.get("/v1/models/medembed/3"), 200),
        (client.get("/v1/models/other"), 404),
        (client.post("/v1/embeddings", json={"model": "medembed/3", "input": "a"}), 200),
        (client.post("/v1/embeddings", json={"model": "other", "input": "a"}), 404),
        (ready, 200),
    ):
        assert response.status_code == status
        assert response.headers["x-model-version"] == "3"
        assert response.headers["x-model-fingerprint"] == trained.model["fingerprint"]
    assert ready.json() == {"status": "ready", "fingerprint": trained.model["fingerprint"]}
    assert client.head("/health/ready").status_code == 200
    assert client.get("/health/live").json() == {"status": "live"}


def test_a_name_may_have_slashes_and_dots_and_a_request_may_add_the_version(
    trained_folder: Path, client_of: Client
):
    client = client_of(Replica(load(trained_folder, name="acme/tiny-v1.5")))
    for name in ("acme/tiny-v1.5", "acme/tiny-v1.5/3", "acme%2Ftiny-v1.5"):
        assert client.get(f"/v1/models/{name}").json()["id"] == "acme/tiny-v1.5"
    assert ask(client, model="acme/tiny-v1.5/3")["model"] == "acme/tiny-v1.5"
    for name in ("acme", "acme/3", "acme/tiny-v1.5/9"):
        assert client.get(f"/v1/models/{name}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ('"input": "SECRET", "dimension": 8', "dimension", "nearest known field is 'dimensions'"),
        ('"input": "a", "SECRET pneumonia in the left lung": 1', None, "unknown"),
        ('"input": "SECRET', None, "not valid JSON"),
        ('"input": "SECRET \\ud800"', None, "not valid JSON"),
        ('"user": "SECRET"', "input", "missing"),
        ('"input": {"a": "SECRET"}', "input", "a list of strings"),
        ('"input": ["SECRET", 5]', "input", "a list of strings"),
        ('"input": ["SECRET", ""]', "input", "none of them empty"),
        ('"input": []', "input", "none of them empty"),
        ('"input": [[]]', "input", "none of them empty"),
        ('"input": [true]', "input", "a list of strings"),
        ('"input": "SECRET", "dimensions": NaN', "dimensions", "integer"),
        ('"input": "SECRET", "dimensions": "8"', "dimensions", "integer"),
        ('"input": "SECRET", "dimensions": 0', "dimensions", "greater than"),
        ('"input": "SECRET", "input_type": "SECRET"', "input_type", "'query' or 'document'"),
    ],
)
def test_a_fault_names_the_field_and_never_the_text(
    client: TestClient, fields: str, param: str | None, says: str
):
    body = f'{{"model": "medembed", {fields}}}'
    response = client.post(
        "/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert says in error["message"]
    assert "SECRET" not in json.dumps(error)
    assert "\n" not in error["message"]


def test_no_route_no_method_and_no_json_are_said_in_openais_shape(client: TestClient):
    for method, path, status in (
        ("GET", "/SECRET", 404),
        ("GET", "/v1/embeddings", 405),
        ("POST", "/v1/models", 405),
    ):
        response = client.request(method, path)
        assert response.status_code == status
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert "SECRET" not in response.text
    assert client.get("/v1/embeddings").headers["allow"] == "POST"
    plain = client.post("/v1/embeddings", content='{"model": "medembed", "input": "a"}')
    assert (plain.status_code, plain.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_token_ids_are_off_by_default_and_the_error_names_the_key(client: TestClient):
    for given in ([5, 6], [[5, 6], [7]]):
        assert "limits.token_ids=true" in refused(client, 400, "input", input=given)


def test_token_ids_give_the_vectors_of_their_texts_and_others_are_refused(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), token_ids=True)
    tokens = trained.encoder.tokenize(TEXTS, "query").ids
    answer = ask(client, input=tokens)
    assert np.abs(rows(answer) - trained.encoder.encode(TEXTS, "query")).max() < 1e-6
    assert answer["usage"]["total_tokens"] == sum(map(len, tokens))
    assert np.abs(rows(ask(client, input=tokens[0])) - rows(answer)[:1]).max() < 1e-6
    size = len(trained.encoder.model.tokenizer)
    assert f"0 to {size - 1}" in refused(client, 400, "input", input=[[size - 1], [size]])
    assert "input[0]: has 49 tokens" in refused(client, 400, "input", input=[[5] * 49])
    cut = ask(client, input=[[5] * 49, [5] * 48], truncate="end")
    assert [entry["truncated"] for entry in cut["data"]] == [True, False]
    assert np.abs(rows(cut)[0] - rows(cut)[1]).max() < 1e-6
    for name, value in (("input_type", "document"), ("prompt_name", "query")):
        refused(client, 400, name, input=[[5]], **{name: value})


def test_each_request_has_one_log_line_with_counts_and_names_alone(
    trained: ServedModel, client_of: Client, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="serve.access")
    client = client_of(Replica(trained))
    body = {"model": "medembed", "input": ["SECRET", "heart"], "dimensions": 8}
    answer = client.post("/v1/embeddings", json=body, headers={"x-request-id": "abc-1"}).json()
    client.post("/v1/embeddings", json=body | {"dimensions": 5})
    client.get("/v1/models/SECRET?key=SECRET")
    client.request("SECRETMETHOD", "/SECRET", headers={"x-request-id": "SECRET " * 20})
    closed = client_of(Replica(trained), hashes=("0" * 64,))
    closed.post("/v1/embeddings", json={}, headers={"authorization": f"Bearer {KEY}"})
    lines = [json.loads(each.message) for each in caplog.records if each.name == "serve.access"]
    assert [
        (each["method"], each["route"], each["status"], each.get("version")) for each in lines
    ] == [
        ("POST", "/v1/embeddings", 200, "3"),
        ("POST", "/v1/embeddings", 400, "3"),
        ("GET", "/v1/models/{name:path}", 404, "3"),
        ("other", None, 404, None),
        ("POST", None, 401, None),
    ]
    assert "SECRET" not in json.dumps(lines)
    assert KEY not in json.dumps(lines)
    assert lines[0].pop("ms") > 0
    assert lines[0].pop("time").endswith("+00:00")
    assert lines[0] == {
        "method": "POST",
        "route": "/v1/embeddings",
        "status": 200,
        "request_id": "abc-1",
        "items": 2,
        "dimensions": 8,
        "output_dtype": "float",
        "tokens": answer["usage"]["total_tokens"],
        "model": "medembed",
        "version": "3",
    }
