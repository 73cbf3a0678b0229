"""What of a body is refused before it is parsed, as reading it would hold up everybody else."""

import json

import pytest
from starlette.testclient import TestClient

from serve.http.parse import is_cheap

MANY = 70_000  # lists or keys; a million and more numbers


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
)
def test_only_what_stands_in_strings_may_have_any_number_of_signs(body: bytes, is_read: bool):
    assert is_cheap(body) == is_read


def test_a_body_of_too_many_values_is_told_so(client: TestClient):
    content = b'{"model": "medembed", "input": [' + b"[1]," * MANY + b"[1]]}"
    response = client.post(
        "/v1/embeddings", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert "too many values" in response.json()["error"]["message"]
