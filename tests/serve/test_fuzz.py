"""Any body gets an answer of 200 or an error in OpenAI's shape, never a 500, never its own text
back.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve.http.messages import EmbeddingRequest
from starlette.testclient import TestClient

from serve.http.api import make_app
from serve.http.limits import LimitsConfig
from serve.http.settings import HttpSettings
from serve.replica.served_model import ServedModel
from tests.serve.conftest import Replica

FIELDS = sorted(EmbeddingRequest.model_fields)
MARK = "zqxjkv"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
likely: dict[str, st.SearchStrategy[Any]] = {
    "input": st.text(min_size=1, max_size=300)
    | st.lists(st.text(max_size=20), max_size=4)
    | st.lists(st.integers(-1, 200), max_size=60)
    | st.lists(st.lists(st.integers(-1, 10**20), max_size=3), max_size=3),
    "model": st.sampled_from(["medembed", "medembed/3", "other"]),
    "dimensions": st.sampled_from([8, 32, 16, 0, -1, 2**70, 10**300]),
    "encoding_format": st.sampled_from(["float", "base64", "FLOAT"]),
    "input_type": st.sampled_from(["query", "document", "passage"]),
    "truncate": st.sampled_from(["error", "end", "start"]),
    "output_dtype": st.sampled_from(["float", "int8", "uint8", "binary", "ubinary", "int4"]),
    "expected_fingerprint": st.text(max_size=5),
}
bodies = st.fixed_dictionaries(
    {"input": likely["input"], "model": st.just("medembed")},
    optional={
        name: likely.get(name, json_values) | json_values
        for name in FIELDS
        if name not in ("input", "model")
    },
)
ASCII = st.booleans()


@pytest.fixture(scope="module")
def fuzzed(trained: ServedModel) -> Iterator[TestClient]:
    """Exceptions that leave the application would fail the test."""
    with TestClient(
        make_app(Replica(trained), HttpSettings(LimitsConfig(token_ids=True, max_items=3)))
    ) as client:
        yield client


def check(client: TestClient, body: bytes) -> int:
    response = client.post(
        "/v1/embeddings", content=body, headers={"content-type": "application/json"}
    )
    if response.status_code == 200:
        assert response.json()["object"] == "list"
    else:
        assert response.status_code in (400, 404, 409)
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
        assert MARK not in response.text
        assert len(error["message"]) < 400
    return response.status_code


@settings(max_examples=200)
@given(body=bodies, ascii_only=ASCII)
def test_requests_that_look_right(fuzzed: TestClient, body: dict[str, Any], ascii_only: bool):
    check(fuzzed, json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@settings(max_examples=100)
@given(
    body=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=9), json_values, max_size=5)
    | json_values
)
def test_any_json(fuzzed: TestClient, body: Any):
    assert check(fuzzed, json.dumps(body).encode()) != 200 or body["model"] == "medembed"


@settings(max_examples=100)
@given(body=st.binary(max_size=200), cut=st.integers(0, 60))
def test_any_bytes_and_any_part_of_a_request(fuzzed: TestClient, body: bytes, cut: int):
    whole = json.dumps({"model": "medembed", "input": f"{MARK} heart", "dimensions": 8}).encode()
    check(fuzzed, body)
    assert check(fuzzed, whole[:cut] + body + whole[cut:]) in (200, 400, 404)
    if cut < len(whole):
        assert check(fuzzed, whole[:cut]) == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "medembed", "input": ' + b"[" * 100_000,
        b'{"model": "medembed", "input": ' + b'{"a":' * 100_000,
        b'{"model": "medembed", "input": "zqxjkv \xff\xfe"}',
        b'{"model": "medembed", "input": "\\ud800 zqxjkv"}',
        b'{"model": "medembed", "input": [NaN, Infinity]}',
        b'{"model": "medembed", "dimensions": 1e999, "input": "zqxjkv"}',
        b'{"model": "medembed", "dimensions": ' + b"9" * 10_000 + b', "input": "zqxjkv"}',
        b'{"model": "medembed", "input": [' + b'"zqxjkv",' * 9_999 + b'"a"]}',
        b'{"model": "medembed", "input": [' + b"{}," * 9_999 + b"{}]}",
        b'{"model": "medembed", "input": "zqxjkv", "' + b"zqxjkv " * 1_000 + b'": 1}',
        b"\x00",
        b"",
        b"null",
    ],
    ids=range(13),
)
def test_hostile_bodies_are_refused(fuzzed: TestClient, body: bytes):
    assert check(fuzzed, body) == 400


def test_control_characters_and_long_texts_are_texts(fuzzed: TestClient):
    for text in ("\x00\x01 heart", "\u202e heart", "a" * 200_000, "👩‍⚕️" * 50, " "):
        assert (
            check(
                fuzzed, json.dumps({"model": "medembed", "input": text, "truncate": "end"}).encode()
            )
            == 200
        )
