"""What is no body of a request is refused, in OpenAI's shape, without its text, and soon.

Bodies that the OpenAPI document allows or forbids are sent by test_openapi.py.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from serve.config import LimitsConfig, ServeConfig
from serve.http.api import HttpSettings, make_app
from serve.http.embeddings import EmbeddingRequest, to_call
from serve.http.route import Body, is_cheap, parse_body
from serve.http.search_body import SearchRequest
from serve.http.search_body import to_call as to_search_call
from serve.replica.served_model import ServedModel
from tests.serve.replicas import Replica

MANY = 70_000  # lists or keys; a million and more numbers
MARK = "zqxjkv"
GOOD = {"model": "medembed", "input": f"{MARK} heart", "dimensions": 8}


@pytest.fixture(scope="module")
def fuzzed(trained: ServedModel) -> Iterator[TestClient]:
    """Return the application; exceptions that leave it fail the test."""
    limits = LimitsConfig(token_ids=True, max_items=3)
    with TestClient(make_app(Replica(trained), HttpSettings(ServeConfig(limits=limits)))) as client:
        yield client


def check(client: TestClient, body: bytes) -> int:
    """Send a body; return the status of an answer that is as the document says."""
    headers = {"content-type": "application/json"}
    response = client.post("/v1/embeddings", content=body, headers=headers)
    if response.status_code == 200:
        assert response.json()["object"] == "list"
        return 200
    error = response.json()["error"]
    assert response.status_code in (400, 404)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 400
    assert MARK not in response.text
    return response.status_code


@settings(max_examples=100)
@given(body=st.binary(max_size=200), cut=st.integers(0, 60))
def test_any_bytes_and_any_part_of_a_request(fuzzed: TestClient, body: bytes, cut: int):
    whole = json.dumps(GOOD).encode()
    check(fuzzed, body)
    check(fuzzed, whole[:cut] + body + whole[cut:])
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


@pytest.mark.parametrize(
    "text", ["\x00\x01 heart", "\u202e heart", "a" * 200_000, "👩‍⚕️" * 50, " "], ids=range(5)
)
def test_control_characters_and_long_texts_are_texts(fuzzed: TestClient, text: str):
    body = {"model": "medembed", "input": text, "truncate": "end"}
    assert check(fuzzed, json.dumps(body).encode()) == 200


@pytest.mark.parametrize(
    ("body", "is_read"),
    [
        (b'{"input": [' + b"[1]," * MANY + b"[1]]}", False),
        (b'{"input": "a", ' + b'"k": 1,' * MANY + b'"k": 1}', False),
        (b'{"input": [' + b"{}," * MANY + b"{}]}", False),
        (b'{"input": [' + b"1," * 16 * MANY + b"1]}", False),
        (b'{"input": "' + b"\\" * 4 + b'"' + b"]}" + b"[" * MANY, False),
        (json.dumps({"input": "[1], {a: b}" * MANY}).encode(), True),
        (json.dumps({"input": ['"[' * MANY + "\\", "[" * MANY]}).encode(), True),
        (json.dumps({"input": ["a, b"] * 2048}).encode(), True),
        (b'{"input": "' + b"[" * MANY, True),
        (b'{"input": "' + b"[" * MANY + b"\\", True),
    ],
    ids=range(10),
)
def test_only_what_stands_in_strings_may_have_any_number_of_signs(body: bytes, is_read: bool):
    assert is_cheap(body) == is_read


def test_a_body_of_too_many_values_is_told_so(client: TestClient):
    content = b'{"model": "medembed", "input": [' + b"[1]," * MANY + b"[1]]}"
    headers = {"content-type": "application/json"}
    response = client.post("/v1/embeddings", content=content, headers=headers)
    assert response.status_code == 400
    assert "too many values" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "body"), [(EmbeddingRequest, {"input": "a", "model": "m"}), (SearchRequest, {})]
)
def test_null_is_the_default_of_every_field_that_may_be_left_out(
    kind: type[Body], body: dict[str, Any]
):
    optional = [name for name, field in kind.model_fields.items() if not field.is_required()]
    nulls = json.dumps(body | dict.fromkeys(optional)).encode()
    assert len(optional) >= 7
    assert parse_body(nulls, kind) == parse_body(json.dumps(body).encode(), kind)
    properties = kind.model_json_schema()["properties"]
    assert [name for name in optional if {"type": "null"} not in properties[name]["anyOf"]] == []


def test_the_defaults_are_floats_errors_for_long_inputs_and_ten_documents():
    call = to_call(EmbeddingRequest(input="a", model="m"), LimitsConfig())
    assert (call.cuts, call.output_dtype, call.role) == (False, "float", "query")
    assert to_search_call(SearchRequest(query="a"), LimitsConfig()).k == 10
    assert to_search_call(SearchRequest(query="a"), LimitsConfig(max_k=3)).k == 3
