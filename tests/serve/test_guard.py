"""Keys, body sizes, time-outs, and what a failing replica looks like from outside."""

import asyncio
import hashlib
import logging
import math
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, RequestCancelledError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

import serve
from medembed.errors import MedEmbedError, ModelError
from serve.errors import RequestError
from serve.http.api import make_app
from serve.http.front import Guard
from serve.http.settings import HttpSettings, LimitsConfig
from serve.replica.served_model import ServedModel
from tests.serve.conftest import KEY, Client, keys_of
from tests.serve.replicas import Failing, Replica

HASH = hashlib.sha256(KEY.encode()).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
BODY = {"model": "medembed", "input": "SECRET"}


@pytest.mark.parametrize(
    "header",
    [None, "", KEY, f"Bearer {KEY}x", f"Basic {KEY}", "Bearer", f"Bearer {HASH}", "Bearer é"],
)
def test_who_has_no_valid_key_reads_nothing_but_health(
    trained: ServedModel, client_of: Client, header: str | None
):
    replica = Replica(trained)
    client = client_of(replica, hashes=(OTHER, HASH))
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for response in (
        client.post("/v1/embeddings", json=BODY, headers=headers),
        client.get("/v1/models", headers=headers),
        client.get("/nowhere", headers=headers),
        client.get("/openapi.json", headers=headers),
    ):
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"
        assert KEY not in response.text
    assert not replica.seen
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200


def test_who_has_a_key_is_answered(trained: ServedModel, client_of: Client):
    client = client_of(Replica(trained), hashes=(OTHER, HASH))
    for header in (f"Bearer {KEY}", f"bearer {KEY}"):
        assert (
            client.post("/v1/embeddings", json=BODY, headers={"authorization": header}).status_code
            == 200
        )


def test_two_keys_in_a_request_are_none_as_a_gateway_might_count_the_other(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), hashes=(OTHER, HASH))
    headers = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer other")]
    assert client.post("/v1/embeddings", json=BODY, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("head:8000", 200),
        ("Embed.Example.org:443", 200),
        ("rebound.attacker.example", 421),
        ("127.0.0.1.attacker.example:8000", 421),
        ("localhost.attacker.example", 421),
        ("embed.example.org.attacker.example", 421),
        ("embed.example.org@attacker", 421),
    ],
)
def test_a_server_without_keys_answers_to_no_domain_that_a_page_elsewhere_may_point_at_it(
    trained: ServedModel, host: str, status: int
):
    with TestClient(
        make_app(Replica(trained), HttpSettings(hosts=("embed.example.org",)))
    ) as client:
        for path in ("/v1/models", "/health/ready", "/"):
            assert client.get(path, headers={"host": host}).status_code == status
    with TestClient(make_app(Replica(trained), HttpSettings(keys=keys_of(HASH)))) as client:
        headers = {"host": host, "authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200


def test_probes_cost_one_embedding_a_second_however_many_there_are(
    trained: ServedModel, client_of: Client
):
    replica = Replica(trained)
    client = client_of(replica, hashes=(HASH,))
    started = time.monotonic()
    statuses = {client.get("/health/ready").status_code for _ in range(20)}
    assert statuses == {200}
    assert len(replica.seen) <= time.monotonic() - started + 2


def test_probes_need_no_key_below_a_prefix_either(trained: ServedModel):
    app = make_app(Replica(trained), HttpSettings(keys=keys_of(HASH)))
    client = TestClient(Starlette(routes=[Mount("/canary", app)]))
    assert client.get("/canary/health/ready").json()["status"] == "ready"
    assert client.get("/canary/v1/models").status_code == 401


def test_a_replica_that_is_too_slow_is_a_504_in_time(client_of: Client):
    class Slow(Failing):
        async def remote(self, *_: Any) -> None:
            await asyncio.sleep(1)

        _fail = remote

    client = client_of(Slow(TimeoutError()), request_timeout_s=0.1)
    start = time.perf_counter()
    response = client.post("/v1/embeddings", json=BODY)
    assert time.perf_counter() - start < 0.9
    assert (response.status_code, response.json()["error"]["type"]) == (504, "server_error")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BackPressureError(5, 5), 429, "overloaded"),
        (ActorDiedError(), 503, "replica_lost"),
        (ActorUnavailableError("away", None), 503, "replica_lost"),
        (
            RayTaskError("embed", "SECRET traceback", ActorDiedError()).as_instanceof_cause(),
            503,
            "replica_lost",
        ),
        (RequestCancelledError("1"), 503, "replica_lost"),
        (TimeoutError(), 504, "timed_out"),
        (KeyError("SECRET"), 500, "server_error"),
        (
            RayTaskError("embed", "SECRET traceback", ValueError("SECRET")).as_instanceof_cause(),
            500,
            "server_error",
        ),
    ],
)
def test_a_failing_replica_is_said_in_openais_shape_without_details(
    client_of: Client, error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
):
    client = client_of(Failing(error), retry_after_s=7)
    for response in (
        client.post("/v1/embeddings", json=BODY),
        client.get("/v1/models"),
        client.get("/health/ready"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert response.headers.get("retry-after") == ("7" if status in (429, 503) else None)
        assert "SECRET" not in response.text
        assert "Traceback" not in response.text
    lines = [record.getMessage() for record in caplog.records if record.name == "serve.http.front"]
    assert len(lines) == (3 if status == 500 else 0)
    assert not [line for line in lines if "SECRET" in line or "\n" in line]


def test_serves_own_answer_to_a_full_queue_is_never_seen():
    app = make_app(Failing(BackPressureError(5, 5)), HttpSettings())
    # What Serve does to an application that it is given.
    app.add_exception_handler(
        BackPressureError, lambda *_: PlainTextResponse("dropped", status_code=503)
    )
    with TestClient(app) as client:
        assert client.post("/v1/embeddings", json=BODY).json()["error"]["code"] == "overloaded"


def test_the_log_says_what_failed_and_where(client_of: Client, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    cause = ModelError("the model gives 1 of 3 texts vectors that are no numbers")
    client_of(Failing(RayTaskError("embed", "...", cause).as_instanceof_cause())).get(
        "/health/ready"
    )
    assert "ModelError" in caplog.text
    assert str(cause) in caplog.text
    assert isinstance(cause, MedEmbedError)


def test_a_request_error_survives_the_way_from_a_replica():
    error = RequestError(409, "no", "expected_fingerprint", "fingerprint_mismatch", {"a": "b"})
    error.headers |= {"c": "d"}
    again = pickle.loads(pickle.dumps(error))
    assert (again.body(), again.status, again.headers) == (error.body(), 409, {"a": "b", "c": "d"})


def test_no_cross_origin_page_is_let_in(client: TestClient):
    response = client.options(
        "/v1/embeddings",
        headers={"origin": "https://elsewhere.example", "access-control-request-method": "POST"},
    )
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/page/page.js", "/health/live", "/health/ready", "/v1/models"]
)
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str):
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == client.get(path).headers["content-length"]


def test_serves_own_time_out_which_is_plain_text_comes_after_the_apis():
    config = yaml.safe_load((Path(serve.__path__[0]) / "config.yaml").read_text())
    limits = LimitsConfig(**config["applications"][0]["args"].get("limits", {}))
    assert config["http_options"].get("request_timeout_s", math.inf) > limits.request_timeout_s


def test_more_requests_than_replicas_and_queue_take_are_refused_unread_but_probes_are_not():
    async def scenario() -> None:
        release, statuses, read = asyncio.Event(), list[int](), list[bool]()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await PlainTextResponse("done")(scope, receive, send)

        async def receive() -> Any:
            read.append(True)
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        guard = Guard(slow, LimitsConfig(max_queued_requests=2))
        open_paths = ["/health/live"] * 5
        paths = [*open_paths, "/v1/embeddings", "/v1/embeddings", "/v1/embeddings", "/health/live"]
        asked = [
            asyncio.create_task(guard({"type": "http", "path": path, "headers": []}, receive, send))
            for path in paths
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (statuses, read) == ([429], [])
        release.set()
        await asyncio.gather(*asked)
        assert statuses == [429] + [200] * 8
        await guard({"type": "http", "path": paths[0], "headers": []}, receive, send)
        assert statuses[-1] == 200, "room comes back"

    asyncio.run(scenario())
