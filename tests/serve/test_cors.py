"""Web pages of other origins: none may ask unless listed, and what these may is no more than a key
allows.
"""

import hashlib

import pytest

from medembed.errors import ConfigError
from serve.operate.safety import check_origins
from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY, Client
from tests.serve.replicas import Replica

HASHES = (hashlib.sha256(KEY.encode()).hexdigest(),)
PAGE = "https://app.example.org"
BODY = {"model": "medembed", "input": "heart"}


def asks(origin: str) -> dict[str, str]:
    """What a browser sends before the request itself."""
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }


def test_a_listed_page_may_ask_with_a_key_and_read_which_model_answered(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), hashes=HASHES, origins=(PAGE, "http://localhost:3000"))
    before = client.options("/v1/embeddings", headers=asks(PAGE))
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, PAGE)
    headers = {"origin": PAGE, "authorization": f"Bearer {KEY}"}
    answer = client.post("/v1/embeddings", json=BODY, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "x-model-fingerprint" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    refused = client.post("/v1/embeddings", json=BODY, headers={"origin": PAGE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)


def test_pages_that_are_not_listed_may_not(trained: ServedModel, client_of: Client):
    client = client_of(Replica(trained), hashes=HASHES, origins=(PAGE,))
    for origin in ("https://example.org", "http://app.example.org", f"{PAGE}.evil.example", "null"):
        assert client.options("/v1/embeddings", headers=asks(origin)).status_code == 400
        answer = client.post(
            "/v1/embeddings",
            json=BODY,
            headers={"origin": origin, "authorization": f"Bearer {KEY}"},
        )
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/x",
        "https://*.org",
        "null",
        "",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str):
    with pytest.raises(ConfigError, match="expected an origin such as"):
        check_origins([origin], has_keys=True)


def test_all_origins_only_with_keys():
    check_origins(["*"], has_keys=True)
    check_origins([PAGE, "http://[::1]:3000"], has_keys=False)
    with pytest.raises(ConfigError, match="this server has no keys"):
        check_origins(["*"], has_keys=False)
