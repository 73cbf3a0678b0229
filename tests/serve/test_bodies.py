"""What a body asks of a replica, what its answer looks like, and the defaults of each field."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from serve.errors import RequestError
from serve.http.embeddings import EmbeddingRequest, render, to_answer, to_call
from serve.http.route import Body, parse_body
from serve.http.search_body import SearchRequest
from serve.http.search_body import to_call as to_search_call
from serve.http.settings import LimitsConfig
from serve.replica.compute import convert
from serve.replica.protocol import Embedded, Model

ROWS = np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)
MODEL: Model = {
    "name": "m",
    "version": "1",
    "fingerprint": "f",
    "width": 2,
    "dimensions": [],
    "prompts": {},
    "has_roles": False,
    "pooling": ["mean"],
    "max_input_tokens": 8,
    "vocabulary": 9,
    "int8_ranges": None,
    "training": None,
    "table": None,
}


def request(**values: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"input": "a", "model": "m", **values})


def test_floats_and_base64_carry_the_same_numbers_in_input_order():
    result = Embedded(ROWS, 2, [3, 4], [False, True], MODEL)
    floats = to_answer(result, request(), cuts=False)
    packed = to_answer(result, request(encoding_format="base64"), cuts=False)
    assert [row["index"] for row in floats["data"]] == [0, 1]
    for one, other in zip(floats["data"], packed["data"], strict=True):
        assert (
            np.frombuffer(base64.b64decode(other["embedding"]), "<f4").tolist() == one["embedding"]
        )
    assert floats["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    cut = to_answer(result, request(), cuts=True)
    assert [row["truncated"] for row in cut["data"]] == [False, True]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_inputs_are_a_list_whatever_their_shape(given: Any, inputs: Any):
    assert request(input=given).inputs() == inputs
    assert list(to_call(request(input=given), LimitsConfig(token_ids=True)).inputs) == inputs


@pytest.mark.parametrize(
    ("kind", "body"), [(EmbeddingRequest, {"input": "a", "model": "m"}), (SearchRequest, {})]
)
def test_null_is_the_default_of_every_field_that_may_be_left_out(
    kind: type[Body], body: dict[str, Any]
):
    optional = [name for name, field in kind.model_fields.items() if not field.is_required()]
    assert len(optional) >= 7
    nulls = dict.fromkeys(optional)
    assert parse_body(json.dumps(body | nulls).encode(), kind) == parse_body(
        json.dumps(body).encode(), kind
    )
    properties = kind.model_json_schema()["properties"]
    assert [name for name in optional if {"type": "null"} not in properties[name]["anyOf"]] == []


def test_the_defaults_are_floats_errors_for_long_inputs_and_ten_documents():
    call = to_call(request(encoding_format=None, truncate=None, output_dtype=None), LimitsConfig())
    assert (call.cuts, call.output_dtype, call.role) == (False, "float", "query")
    result = Embedded(ROWS, 2, [3, 4], [False, True], MODEL)
    (first, _) = to_answer(result, request(encoding_format=None, truncate=None), cuts=False)["data"]
    assert first == {"object": "embedding", "index": 0, "embedding": ROWS[0].tolist()}
    asked = SearchRequest(query="a", k=None)
    assert to_search_call(asked, LimitsConfig()).k == 10
    assert to_search_call(asked, LimitsConfig(max_k=3)).k == 3


def test_bits_are_packed_first_dimension_highest_and_filled_up_with_zeros():
    row = np.array([[0.5, -0.5, 0.0, 0.1, -1, -1, -1, 1, 1]], dtype=np.float32)
    assert convert(row, 9, "ubinary").tolist() == [[0b10010001, 0b10000000]]
    assert convert(row, 9, "binary").tolist() == [[0b10010001 - 128, 0]]
    assert convert(row, 3, "ubinary").tolist() == [[0b10000000]]


def test_codes_are_lists_also_in_base64_which_openais_client_asks_for_unless_told_otherwise():
    codes = np.array([[-128, 0, 127]], dtype=np.int8)
    assert render(codes[:, :2], "base64") == [[-128, 0]]


def test_an_error_has_openais_shape():
    assert RequestError(404, "no", "model", "model_not_found").body() == {
        "error": {
            "message": "no",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    assert RequestError(429, "no").body()["error"]["type"] == "rate_limit_error"
    assert RequestError(503, "no").body()["error"]["type"] == "server_error"
