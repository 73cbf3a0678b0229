"""The contract of the embeddings API, over a real tiny model."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from starlette.testclient import TestClient

from medembed.encoding.quantize import to_int8, to_uint8
from medembed.matryoshka import truncate
from serve.replica.served_model import ServedModel
from tests.serve.conftest import PROMPTS, Client, load
from tests.serve.replicas import Replica

TEXTS = ["heart pain", "skin rash of the left hand", "brain"]
LONG = "heart " * 100


def ask(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json={"model": "medembed", "input": TEXTS, **body})
    assert response.status_code == status, response.text
    return response.json()


def rows(answer: dict[str, Any]) -> np.ndarray:
    return np.array([entry["embedding"] for entry in answer["data"]])


def refused(client: TestClient, status: int, param: str | None, **body: Any) -> str:
    error = ask(client, status, **body)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    return str(error["message"])


@pytest.mark.parametrize("dimensions", [32, 8, None])
@pytest.mark.parametrize("role", ["query", "document"])
def test_rows_are_truncated_then_normalised_behind_the_roles_prompt(
    client: TestClient, trained: ServedModel, dimensions: int | None, role: Any
):
    answer = ask(client, dimensions=dimensions, input_type=role)
    expected = truncate(trained.encoder.encode(TEXTS, role), dimensions or 32)
    assert np.abs(rows(answer) - expected).max() < 1e-6
    assert np.abs(np.linalg.norm(rows(answer), axis=1) - 1).max() < 1e-6
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]


def test_a_string_is_a_query_unless_it_says_otherwise(client: TestClient, trained: ServedModel):
    expected = trained.encoder.encode(["heart pain"], "query")
    assert np.abs(rows(ask(client, input="heart pain")) - expected).max() < 1e-6


@pytest.mark.parametrize(
    "chosen", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}]
)
def test_an_unmodified_openai_client_reads_the_same_numbers(
    client: TestClient, chosen: dict[str, Any]
):
    theirs = openai.OpenAI(
        base_url="http://testserver/v1", api_key="any", http_client=client, max_retries=0
    )
    answer = theirs.embeddings.create(model="medembed", input=TEXTS, dimensions=8, **chosen)
    decoded = [
        np.frombuffer(base64.b64decode(one.embedding), "<f4")
        if isinstance(one.embedding, str)
        else one.embedding
        for one in answer.data
    ]
    assert np.abs(np.array(decoded) - rows(ask(client, dimensions=8))).max() < 1e-7
    assert theirs.models.retrieve("medembed").id == "medembed"
    with pytest.raises(openai.NotFoundError, match="not served here"):
        theirs.embeddings.create(model="other", input="a")


def test_usage_counts_the_tokens_that_the_model_read(client: TestClient, trained: ServedModel):
    tokenizer = trained.encoder.model.tokenizer
    expected = sum(len(tokenizer(PROMPTS["query"] + text)["input_ids"]) for text in TEXTS)
    assert ask(client)["usage"] == {"prompt_tokens": expected, "total_tokens": expected}
    assert ask(client, input=LONG, truncate="end")["usage"]["prompt_tokens"] == 48


def test_too_long_an_input_is_refused_or_cut_as_asked(client: TestClient, trained: ServedModel):
    message = refused(client, 400, "input", input=["heart", LONG])
    assert "input[1]" in message
    assert "has 108 tokens; at most 48" in message
    answer = ask(client, input=["heart", LONG], truncate="end")
    assert [entry["truncated"] for entry in answer["data"]] == [False, True]
    assert np.abs(rows(answer)[1] - trained.encoder.encode([LONG], "query")[0]).max() < 1e-6


def test_an_input_that_just_fits_is_not_cut(client: TestClient, trained: ServedModel):
    fitting = "heart " * (48 - trained.encoder.tokenize([""], "query").lengths[0])
    answer = ask(client, input=[fitting, fitting + "heart"], truncate="end")
    assert [entry["truncated"] for entry in answer["data"]] == [False, True]
    assert "truncated" not in ask(client, input=fitting)["data"][0]


def test_items_and_tokens_of_a_request_are_limited(trained: ServedModel, client_of: Client):
    replica = Replica(trained)
    small = client_of(replica, max_items=2, max_tokens=40)
    assert "has 3 items; at most 2" in refused(small, 400, "input")
    assert not replica.seen
    tokens = ask(small, input=["heart"] * 2)["usage"]["total_tokens"]
    assert tokens <= 40
    assert "at most 40 are taken" in refused(small, 400, "input", input=["heart pain " * 8] * 2)


def test_a_trained_model_gives_its_trained_dimensions_only(client: TestClient):
    for dimensions in (16, 64):
        refused(client, 400, "dimensions", dimensions=dimensions)
    assert "[32, 8]" in refused(client, 400, "dimensions", dimensions=16)
    entry = client.get("/v1/models").json()["data"][0]
    assert (entry["dimensions"], entry["trained"], entry["width"]) == ([32, 8], True, 32)


def test_a_stock_model_gives_any_dimensions_and_says_that_they_are_untrained(
    stock: ServedModel, client_of: Client
):
    client = client_of(Replica(stock))
    for dimensions, trained in ((1, "false"), (31, "false"), (32, "true")):
        response = client.post(
            "/v1/embeddings", json={"model": "medembed", "input": "heart", "dimensions": dimensions}
        )
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
    for name, codes in (
        ("int8", to_int8(full, stock.ranges)),
        ("uint8", to_uint8(full, stock.ranges)),
    ):
        assert (
            rows(ask(client, dimensions=dimensions, output_dtype=name)).tolist()
            == codes[:, :dimensions].tolist()
        )
        alone = ask(client, input=TEXTS[1], dimensions=dimensions, output_dtype=name)
        assert rows(alone).tolist() == codes[1:2, :dimensions].tolist()
    bits = np.packbits(full[:, :dimensions] > 0, axis=1)
    assert (
        rows(ask(client, dimensions=dimensions, output_dtype="ubinary")).tolist() == bits.tolist()
    )
    binary = ask(client, dimensions=dimensions, output_dtype="binary", encoding_format="base64")
    assert np.array_equal(rows(binary), bits.astype(int) - 128)


def test_codes_without_stored_ranges_are_refused_with_what_is_missing(client: TestClient):
    assert "table=" in refused(client, 400, "output_dtype", output_dtype="int8")
    assert rows(ask(client, output_dtype="ubinary")).shape == (3, 4)
    assert client.get("/v1/models").json()["data"][0]["int8_ranges"] is None


def test_another_models_fingerprint_is_a_conflict(client: TestClient, trained: ServedModel):
    assert trained.model["fingerprint"] in refused(
        client, 409, "expected_fingerprint", expected_fingerprint="0" * 16
    )
    ask(client, expected_fingerprint=trained.model["fingerprint"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models", 200),
        ("/v1/models/medembed", 200),
        ("/v1/models/medembed/3", 200),
        ("/v1/models/other", 404),
    ],
)
def test_every_response_that_a_model_stands_behind_names_it(
    client: TestClient, trained: ServedModel, path: str, status: int
):
    response = client.get(path)
    assert response.status_code == status
    good = client.post("/v1/embeddings", json={"model": "medembed/3", "input": "a"})
    bad = client.post("/v1/embeddings", json={"model": "medembed", "input": "a", "dimensions": 5})
    ready = client.get("/health/ready")
    for one in (response, good, bad, ready):
        assert one.headers["x-model-version"] == "3"
        assert one.headers["x-model-fingerprint"] == trained.model["fingerprint"]
    assert ready.json() == {"status": "ready", "fingerprint": trained.model["fingerprint"]}
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
    ("body", "param", "says"),
    [
        (
            '{"model": "medembed", "input": "SECRET", "dimension": 8}',
            "dimension",
            "nearest known field is 'dimensions'",
        ),
        (
            '{"model": "medembed", "input": "a", "SECRET pneumonia in the left lung": 1}',
            None,
            "unknown",
        ),
        ('{"model": "medembed", "input": "SECRET', None, "not valid JSON"),
        ('{"model": "medembed", "input": "SECRET \\ud800"}', None, "not valid JSON"),
        ('["SECRET"]', None, "no JSON object"),
        ('{"input": "SECRET"}', "model", "missing"),
        ('{"model": "medembed", "input": {"a": "SECRET"}}', "input", "a list of strings"),
        ('{"model": "medembed", "input": ["SECRET", 5]}', "input", "a list of strings"),
        ('{"model": "medembed", "input": ["SECRET", ""]}', "input", "none of them empty"),
        ('{"model": "medembed", "input": []}', "input", "none of them empty"),
        ('{"model": "medembed", "input": [[]]}', "input", "none of them empty"),
        ('{"model": "medembed", "input": [true]}', "input", "a list of strings"),
        ('{"model": "medembed", "input": "SECRET", "dimensions": NaN}', "dimensions", "integer"),
        ('{"model": "medembed", "input": "SECRET", "dimensions": "8"}', "dimensions", "integer"),
        ('{"model": "medembed", "input": "SECRET", "dimensions": 0}', "dimensions", "greater than"),
        (
            '{"model": "medembed", "input": "SECRET", "input_type": "SECRET"}',
            "input_type",
            "'query' or 'document'",
        ),
        ('{"model": "SECRET", "input": "SECRET"}', "model", "served: 'medembed'"),
        ("[" * 50_000, None, "not valid JSON"),
    ],
)
def test_a_fault_names_the_field_and_never_the_text(
    client: TestClient, body: str, param: str | None, says: str
):
    response = client.post(
        "/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )
    error = response.json()["error"]
    assert response.status_code == (404 if "served" in says else 400)
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


def test_the_openapi_document_describes_the_body(client: TestClient):
    document = client.get("/openapi.json").json()
    schema = document["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"][
        "application/json"
    ]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["input", "model"]
    assert "truncate" in schema["properties"]
