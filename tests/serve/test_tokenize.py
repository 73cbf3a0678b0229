"""POST /v1/tokenize, prompts by name, and inputs that are too long, over a real tiny model."""

import json
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
    """Return the trained model with a third prompt."""
    folder = shutil.copytree(trained_folder, tmp_path_factory.mktemp("prompted") / "m")
    file = folder / "config_sentence_transformers.json"
    settings = json.loads(file.read_text()) | {"prompts": PROMPTS | {"cluster": "skin "}}
    file.write_text(json.dumps(settings))
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
    """Return the ids of a text by the tokenizer alone, as long as it is."""
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
    client = client_of(Replica(prompted), token_ids=True)
    texts = ["heart", "skin rash", LONG]
    answer = post(client, "/v1/tokenize", input=texts, **given)
    whole = [ids_of(prompted, prompt + text) for text in texts]
    ids = [entry["ids"] for entry in answer["data"]]
    assert ids == [*whole[:2], [*whole[2][:47], whole[2][-1]]]
    assert [entry["count"] for entry in answer["data"]] == list(map(len, whole))
    assert [entry["truncated"] for entry in answer["data"]] == [False, False, True]
    assert answer["max_input_tokens"] == 48
    assert post(client, "/v1/tokenize", input="heart", **given)["data"] == answer["data"][:1]

    embedded = post(client, "/v1/embeddings", input=texts, truncate="end", **given)
    by_ids = post(client, "/v1/embeddings", input=ids)
    assert answer["usage"] == embedded["usage"] == by_ids["usage"]
    for mine, other in zip(by_ids["data"], embedded["data"], strict=True):
        assert np.allclose(mine["embedding"], other["embedding"], atol=1e-6)


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


def test_the_tokens_of_an_input_that_is_too_long_are_named(
    prompted: ServedModel, client_of: Client
):
    client = client_of(Replica(prompted))
    count = len(ids_of(prompted, "query: " + LONG))
    expected = f"input[1]: has {count} tokens; at most 48 are read by this model; shorten it"
    assert expected in refused(client, "/v1/embeddings", input=["heart", LONG])[1]
    endless = "heart " * 200_000
    message = "input[0]: has very many tokens; at most 48"
    assert message in refused(client, "/v1/embeddings", input=endless)[1]
    message = "input[0]: has more than 1,000,000 characters"
    assert message in refused(client, "/v1/tokenize", input=endless)[1]


def test_the_operator_may_choose_that_long_inputs_are_cut_and_a_request_otherwise(
    prompted: ServedModel, client_of: Client
):
    client = client_of(Replica(prompted), truncate="end")
    data = post(client, "/v1/embeddings", input=["heart", LONG])["data"]
    assert [entry["truncated"] for entry in data] == [False, True]
    message = refused(client, "/v1/embeddings", input=LONG, truncate="error")[1]
    assert "tokens; at most 48" in message


def test_tokenizing_is_bounded_as_embedding_is(prompted: ServedModel, client_of: Client):
    client = client_of(Replica(prompted), max_items=2, max_tokens=20)
    assert "limits.max_items" in refused(client, "/v1/tokenize", input=["SECRET"] * 3)[1]
    assert "limits.max_tokens" in refused(client, "/v1/tokenize", input=["heart " * 15] * 2)[1]
    post(client, "/v1/tokenize", 404, input="a", model="other")
    post(client, "/v1/tokenize", 409, input="a", expected_fingerprint="f")
