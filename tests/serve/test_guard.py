"""Keys, hosts, origins, body sizes, time-outs, and what a failing replica looks like from outside."""

import asyncio
import hashlib
import json
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, RequestCancelledError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from medembed.errors import ModelError
from serve.config import LimitsConfig, ServeConfig
from serve.errors import RequestError
from serve.http.api import HttpSettings, make_app
from serve.http.front import Guard
from serve.replica.served_model import ServedModel
from tests.serve.conftest import HASH, KEY, Client, keys_of
from tests.serve.replicas import Failing, Replica

OTHER = hashlib.sha256(b"other").hexdigest()
BODY = {"model": "medembed", "input": "SECRET"}
PAGE = "https://app.example.org"


@pytest.mark.parametrize("header", [None, f"Bearer {KEY}x", f"Basic {KEY}", f"Bearer {HASH}", "é"])
def test_who_has_no_valid_key_reads_nothing_but_health(
    trained: ServedModel, client_of: Client, header: str | None
):
    replica = Replica(trained)
    client = client_of(replica, hashes=(OTHER, HASH))
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    answers = [client.post("/v1/embeddings", json=BODY, headers=headers)]
    answers += [
        client.get(path, headers=headers) for path in ("/v1/models", "/nowhere", "/openapi.json")
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text
    assert not replica.seen
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200


def test_one_key_opens_and_two_in_a_request_are_none_as_a_gateway_might_count_the_other(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), hashes=(OTHER, HASH))
    keys = [("authorization", f"bearer {KEY}"), ("authorization", "Bearer other")]
    assert client.post("/v1/embeddings", json=BODY, headers=keys[:1]).status_code == 200
    assert client.post("/v1/embeddings", json=BODY, headers=keys).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("head:8000", 200),
        ("Embed.Example.org:443", 200),
        ("127.0.0.1.attacker.example:8000", 421),
        ("embed.example.org.attacker.example", 421),
        ("embed.example.org@attacker", 421),
    ],
)
def test_a_server_without_keys_answers_to_no_domain_that_a_page_elsewhere_may_point_at_it(
    trained: ServedModel, host: str, status: int
):
    app = make_app(
        Replica(trained), HttpSettings(ServeConfig(allowed_hosts=("embed.example.org",)))
    )
    with TestClient(app) as client:
        for path in ("/v1/models", "/health/ready", "/"):
            assert client.get(path, headers={"host": host}).status_code == status
    with TestClient(make_app(Replica(trained), HttpSettings(keys=keys_of(HASH)))) as client:
        headers = {"host": host, "authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"), [(PAGE, 200), (f"{PAGE}.evil.example", 400), ("null", 400)]
)
def test_a_listed_page_may_ask_with_a_key_and_no_other_page(
    trained: ServedModel, client_of: Client, origin: str, status: int
):
    client = client_of(Replica(trained), hashes=(HASH,), origins=(PAGE, "http://localhost:3000"))
    preflight = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    assert client.options("/v1/embeddings", headers=preflight).status_code == status
    allowed = origin if status == 200 else None
    for key, expected in ((KEY, 200), ("wrong", 401)):
        headers = {"origin": origin, "authorization": f"Bearer {key}"}
        answer = client.post("/v1/embeddings", json=BODY, headers=headers)
        assert answer.status_code == expected
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in answer.headers
    assert (
        allowed is None or "x-model-fingerprint" in answer.headers["access-control-expose-headers"]
    )


def test_probes_cost_one_embedding_a_second_however_many_there_are(
    trained: ServedModel, client_of: Client
):
    replica = Replica(trained)
    client = client_of(replica, hashes=(HASH,))
    started = time.monotonic()
    assert {client.get("/health/ready").status_code for _ in range(20)} == {200}
    assert len(replica.seen) <= time.monotonic() - started + 2


def test_probes_need_no_key_below_a_prefix_either(trained: ServedModel):
    app = make_app(Replica(trained), HttpSettings(keys=keys_of(HASH)))
    client = TestClient(Starlette(routes=[Mount("/canary", app)]))
    assert client.get("/canary/health/ready").json()["status"] == "ready"
    assert client.get("/canary/v1/models").status_code == 401


def test_a_body_is_counted_by_its_header_and_while_it_comes_in(
    trained: ServedModel, client_of: Client
):
    replica = Replica(trained)
    client = client_of(replica, max_body_bytes=2048)
    just = json.dumps(BODY).encode().ljust(2048)
    headers = {"content-type": "application/json"}
    assert client.post("/v1/embeddings", content=just, headers=headers).status_code == 200

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    for content in (just + b" ", chunks()):
        response = client.post("/v1/embeddings", content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
    assert len(replica.seen) == 1


def test_a_replica_that_is_too_slow_is_a_504_in_time(client_of: Client):
    class Slow(Failing):
        async def fail(self, *_: Any) -> None:
            await asyncio.sleep(1)

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
        (RayTaskError("x", "SECRET", ActorDiedError()).as_instanceof_cause(), 503, "replica_lost"),
        (RequestCancelledError("1"), 503, "replica_lost"),
        (TimeoutError(), 504, "timed_out"),
        (KeyError("SECRET"), 500, "server_error"),
        (ModelError("1 of 3 texts has no vector"), 500, "server_error"),
        (
            RayTaskError("x", "SECRET", ValueError("SECRET")).as_instanceof_cause(),
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
    if isinstance(error, ModelError):  # whose messages have no texts
        assert "ModelError" in lines[0]
        assert "1 of 3 texts" in lines[0]


def test_serves_own_answer_to_a_full_queue_is_never_seen():
    app = make_app(Failing(BackPressureError(5, 5)), HttpSettings())
    # What Serve does to an application that it is given.
    app.add_exception_handler(
        BackPressureError, lambda *_: PlainTextResponse("dropped", status_code=503)
    )
    with TestClient(app) as client:
        assert client.post("/v1/embeddings", json=BODY).json()["error"]["code"] == "overloaded"


def test_more_requests_than_the_queue_takes_are_refused_unread_but_probes_and_metrics_are_not():
    statuses: list[int] = []
    reads: list[str] = []

    async def scenario() -> None:
        release = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await receive()
            await PlainTextResponse("done")(scope, receive, send)

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        guard = Guard(slow, LimitsConfig(max_queued_requests=2))

        async def ask(path: str) -> None:
            async def receive() -> Any:
                reads.append(path)
                return {"type": "http.request"}

            await guard({"type": "http", "path": path, "headers": []}, receive, send)

        paths = ["/health/live", "/metrics", *["/v1/embeddings"] * 3, "/health/live"]
        tasks = [asyncio.create_task(ask(path)) for path in paths]
        await asyncio.sleep(0.01)
        assert statuses == [429]
        release.set()
        await asyncio.gather(*tasks)
        await ask("/v1/embeddings")

    asyncio.run(scenario())
    assert statuses == [429] + [200] * 6
    assert reads.count("/v1/embeddings") == 3


def test_a_request_error_survives_the_way_from_another_process():
    error = RequestError(409, "no", "expected_fingerprint", "fingerprint_mismatch", {"a": "b"})
    error.headers |= {"c": "d"}
    again = pickle.loads(pickle.dumps(error))
    assert (again.body(), again.status, again.headers) == (error.body(), 409, {"a": "b", "c": "d"})


def test_without_origins_no_page_from_elsewhere_is_let_in(client: TestClient):
    headers = {"origin": PAGE, "access-control-request-method": "POST"}
    response = client.options("/v1/embeddings", headers=headers)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/health/live", "/v1/models"])
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str):
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == client.get(path).headers["content-length"]
