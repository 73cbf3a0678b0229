"""One JSON line per request, with counts and names alone."""

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY, Client
from tests.serve.replicas import Replica


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.name == "serve.access"
    ]


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="serve.access")


def test_a_line_says_what_was_asked_and_answered(
    client: TestClient, caplog: pytest.LogCaptureFixture
):
    body = {
        "model": "medembed",
        "input": ["SECRET", "heart"],
        "dimensions": 8,
        "output_dtype": "binary",
    }
    answer = client.post("/v1/embeddings", json=body, headers={"x-request-id": "abc-1"}).json()
    (line,) = lines(caplog)
    assert line.pop("ms") > 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "method": "POST",
        "route": "/v1/embeddings",
        "status": 200,
        "request_id": "abc-1",
        "items": 2,
        "dimensions": 8,
        "output_dtype": "binary",
        "tokens": answer["usage"]["total_tokens"],
        "model": "medembed",
        "version": "3",
    }


def test_refusals_have_a_line_too_and_a_template_for_a_path(
    trained: ServedModel, client_of: Client, caplog: pytest.LogCaptureFixture
):
    client = client_of(Replica(trained), hashes=("0" * 64,))
    client.post("/v1/embeddings", json={}, headers={"authorization": f"Bearer {KEY}"})
    open_client = client_of(Replica(trained))
    open_client.post(
        "/v1/embeddings", json={"model": "medembed", "input": "SECRET", "dimensions": 5}
    )
    open_client.get("/v1/models/SECRET?key=SECRET")
    open_client.request("SECRETMETHOD", "/SECRET", headers={"x-request-id": "SECRET " * 20})
    logged_lines = [
        (line["method"], line["route"], line["status"], line.get("version"))
        for line in lines(caplog)
    ]
    assert logged_lines == [
        ("POST", None, 401, None),
        ("POST", "/v1/embeddings", 400, "3"),
        ("GET", "/v1/models/{name:path}", 404, "3"),
        ("other", None, 404, None),
    ]
    logged = json.dumps(lines(caplog))
    assert "SECRET" not in logged
    assert KEY not in logged
