"""How large a body may be, by its header and while it comes in."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from serve.http.front import Guard
from serve.http.settings import LimitsConfig
from serve.replica.served_model import ServedModel
from tests.serve.conftest import Client, Replica
from tests.serve.test_guard import BODY


def test_a_body_is_counted_by_its_header_and_while_it_comes_in(
    trained: ServedModel, client_of: Client
):
    replica = Replica(trained)
    client = client_of(replica, max_body_bytes=2048)
    padding = 2048 - len(json.dumps(BODY))
    just = json.dumps({**BODY, "user": "u" * (padding - len(', "user": ""'))}).encode()
    assert len(just) == 2048
    headers = {"content-type": "application/json"}
    assert client.post("/v1/embeddings", content=just, headers=headers).status_code == 200
    pulled = 0

    def chunks() -> Iterator[bytes]:
        nonlocal pulled
        for _ in range(100):
            pulled += 1
            yield b" " * 1024

    for content in (just + b" ", chunks()):
        response = client.post("/v1/embeddings", content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
    assert len(replica.seen) == 1


def test_an_endless_body_is_stopped_at_the_limit():
    pulled = 0

    async def receive() -> dict[str, Any]:
        nonlocal pulled
        pulled += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def swallow(scope: Any, receive: Any, send: Any) -> None:
        while pulled < 100:
            await receive()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(swallow, LimitsConfig(max_body_bytes=10_000))
    asyncio.run(guard({"type": "http", "path": "/", "headers": []}, receive, send))
    assert (sent[0]["status"], pulled) == (413, 11)
