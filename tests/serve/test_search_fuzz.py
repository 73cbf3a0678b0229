"""Bodies of POST /v1/search that nobody thought of."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve.http.search_messages import SearchRequest
from starlette.testclient import TestClient

from serve.http.api import make_app
from serve.http.settings import HttpSettings
from serve.replica.served_model import ServedModel
from tests.serve.conftest import Replica


@pytest.fixture(scope="module")
def fuzzed(searched: ServedModel) -> Iterator[TestClient]:
    """Exceptions that leave the application would fail the test."""
    with TestClient(make_app(Replica(searched), HttpSettings())) as client:
        yield client


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
vectors = st.lists(st.floats(), min_size=31, max_size=33) | st.binary(
    min_size=127, max_size=129
).map(lambda packed: base64.b64encode(packed).decode())
FIELDS = sorted(SearchRequest.model_fields)
sizes = st.sampled_from([None, 8, 32, 16, 1, 0, -1, 2**70])


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "query": st.text(max_size=60) | json_values,
            "embedding": vectors | json_values,
            "k": st.integers(-1, 120),
            "dimensions": sizes,
            "first_dimensions": sizes,
            "candidates": sizes,
        },
    )
    | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=9), json_values, max_size=4)
)
def test_any_body_gets_documents_or_an_error_that_names_what_is_wrong(
    fuzzed: TestClient, body: dict[str, Any]
):
    sent = json.dumps(body).encode("utf-8", "surrogatepass")
    response = fuzzed.post("/v1/search", content=sent, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 404, 409)
    found = response.json()
    if response.status_code == 200:
        results = (
            [entry["data"] for entry in found["data"]]
            if isinstance(body.get("query"), list)
            else [found["data"]]
        )
        assert all(-1.00001 <= entry["score"] <= 1.00001 for result in results for entry in result)
    else:
        assert set(found["error"]) == {"message", "type", "param", "code"}
