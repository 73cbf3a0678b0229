"""POST /v1/tokenize, prompts by name, and what an input that is too long is told, over a real tiny
model.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve.replica.served_model import ServedModel
from tests.serve.conftest import PROMPTS, Client, load
from tests.serve.replicas import Replica

LONG = "heart pain " * 30  # 60 words, of which the model reads 48 tokens


@pytest.fixture(scope="module")
def prompted(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """The trained model with a third prompt."""
    folder = shutil.copytree(trained_folder, tmp_path_factory.mktemp("prompted") / "m")
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"prompts": PROMPTS | {"cluster": "skin "}})
    )
    return load(folder)


def post(client: TestClient, path: str, status: int = 200, **body: Any) -> Any:
    response = client.post(path, json={"model": "medembed"} | body)
    assert response.status_code == status, response.text
    return response.json()


def refused(client: TestClient, path: str, **body: Any) -> tuple[str | None, str]:
    error = post(client, path, 400, **body)["error"]
    assert "SECRET" not in json.dumps(error)
    return error["param"], error["message"]


def ids_of(served: ServedModel, text: str) -> list[int]:
    """By the tokenizer alone, as long as it is."""
    return list(served.encoder.model.tokenizer(text, truncation=False, verbose=False)["input_ids"])


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ({}, "query: "),
        ({"input_type": "document"}, "passage: "),
        ({"prompt_name": "cluster"}, "skin "),
    ],
)
def test_tokens_are_those_that_embedding_reads_behind_the_prompt(
    prompted: ServedModel, client_of: Client, given: dict[str, str], prompt: str
):
    client, texts = client_of(Replica(prompted)), ["heart", "skin rash", LONG]
    answer = post(client, "/v1/tokenize", input=texts, **given)
    whole = [ids_of(prompted, prompt + text) for text in texts]
    assert [entry["ids"] for entry in answer["data"][:2]] == whole[:2]
    assert answer["data"][2]["ids"] == [*whole[2][:47], whole[2][-1]]
    assert [entry["count"] for entry in answer["data"]] == list(map(len, whole))
    assert [entry["truncated"] for entry in answer["data"]] == [False, False, True]
    embedded = post(client, "/v1/embeddings", input=texts, truncate="end", **given)
    assert answer["usage"] == embedded["usage"]
    assert answer["max_input_tokens"] == 48
    assert post(client, "/v1/tokenize", input="heart", **given)["data"] == answer["data"][:1]


def test_the_ids_of_tokenize_as_input_give_the_embeddings_of_the_texts(
    prompted: ServedModel, client_of: Client
):
    client, texts = client_of(Replica(prompted), token_ids=True), ["heart", "skin rash"]
    ids = [
        entry["ids"]
        for entry in post(client, "/v1/tokenize", input=texts, input_type="document")["data"]
    ]
    by_ids = post(client, "/v1/embeddings", input=ids)["data"]
    by_text = post(client, "/v1/embeddings", input=texts, input_type="document")["data"]
    for one, other in zip(by_ids, by_text, strict=True):
        assert np.allclose(one["embedding"], other["embedding"], atol=1e-6)


def test_a_prompt_by_name_stands_in_front_of_the_text(prompted: ServedModel, client_of: Client):
    client = client_of(Replica(prompted))
    (entry,) = post(client, "/v1/embeddings", input="heart", prompt_name="cluster")["data"]
    stock = prompted.encoder.model.encode("heart", prompt_name="cluster", normalize_embeddings=True)
    assert np.allclose(entry["embedding"], stock, atol=1e-5)
    assert client.get("/v1/models").json()["data"][0]["prompts"] == PROMPTS | {"cluster": "skin "}


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/tokenize"])
def test_a_prompt_that_the_model_lacks_is_refused_with_those_that_it_has(
    prompted: ServedModel, client_of: Client, path: str
):
    client = client_of(Replica(prompted))
    unknown = refused(client, path, input="SECRET", prompt_name="passage")
    assert unknown == (
        "prompt_name",
        "prompt_name: not a prompt of this model; it has: 'cluster', 'document', 'query'.",
    )
    both = refused(client, path, input="SECRET", prompt_name="query", input_type="query")
    assert both == ("prompt_name", "prompt_name, input_type: expected one of them at most.")
    if path == "/v1/embeddings":
        ids = client_of(Replica(prompted), token_ids=True)
        assert refused(ids, path, input=[7], prompt_name="query")[0] == "prompt_name"


def test_an_input_that_is_too_long_is_told_its_tokens(prompted: ServedModel, client_of: Client):
    client = client_of(Replica(prompted), token_ids=True)
    count = len(ids_of(prompted, "query: " + LONG))
    told = f"has {count} tokens; at most 48 are read by this model; shorten it"
    param, message = refused(client, "/v1/embeddings", input=["heart", LONG])
    assert (param, message) == (
        "input",
        f'input[1]: {told}, or send "truncate": "end" to have it cut.',
    )
    assert "input[0]: has 50 tokens" in refused(client, "/v1/embeddings", input=[[7] * 50])[1]
    endless = refused(client, "/v1/embeddings", input="heart " * 200_000)[1]
    assert "input[0]: has very many tokens; at most 48" in endless
    assert (
        "input[0]: has more than 1,000,000 characters"
        in refused(client, "/v1/tokenize", input="heart " * 200_000)[1]
    )


def test_the_server_cuts_what_is_too_long_where_it_was_told_so_unless_a_request_says_otherwise(
    prompted: ServedModel, client_of: Client
):
    client = client_of(Replica(prompted), truncate="end")
    data = post(client, "/v1/embeddings", input=["heart", LONG])["data"]
    assert [entry["truncated"] for entry in data] == [False, True]
    assert post(client, "/v1/embeddings", input=LONG, truncate="end")["data"] == [
        data[1] | {"index": 0}
    ]
    assert (
        "tokens; at most 48" in refused(client, "/v1/embeddings", input=LONG, truncate="error")[1]
    )


def test_tokenizing_is_bounded_as_embedding_is_and_logged_without_texts(
    prompted: ServedModel, client_of: Client, caplog: pytest.LogCaptureFixture
):
    client = client_of(Replica(prompted), max_items=2, max_tokens=20)
    assert "limits.max_items" in refused(client, "/v1/tokenize", input=["SECRET"] * 3)[1]
    assert "limits.max_tokens" in refused(client, "/v1/tokenize", input=["heart " * 15] * 2)[1]
    with caplog.at_level(logging.INFO, logger="serve.access"):
        post(client, "/v1/tokenize", input="SECRET")
    assert "/v1/tokenize" in caplog.text
    assert "SECRET" not in caplog.text
    assert client.post("/v1/tokenize", json={"input": "a", "model": "other"}).status_code == 404
    assert (
        client.post("/v1/tokenize", json={"input": "a", "expected_fingerprint": "f"}).status_code
        == 409
    )
