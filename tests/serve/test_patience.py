"""A caller who sends no whole request is forgotten; one who does, or waits for his next, is not."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from ray._common.utils import import_attr
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http import auto

from serve.operate import patience
from serve.operate.haproxy import IMPATIENT
from tests.serve.conftest import running

WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n"
BODY = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer GET at once, or after some time at /slow, and a POST without reading its body."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.7)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the port of a server that looks every 0.2 s."""
    monkeypatch.setattr(patience, "LOOKS_EVERY_S", 0.2)
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
    (path,) = IMPATIENT.values()
    import_attr(path)()  # as Serve calls it
    with running(application) as url:
        yield int(url.rpartition(":")[2])


def ended_after(port: int, *parts: bytes, every_s: float = 0.0) -> float | None:
    """Seconds until the server closes a connection on which these parts are sent; None if it has
    not after 2 s.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        started = time.monotonic()
        for part in parts:
            time.sleep(every_s)
            client.sendall(part)
        try:
            while client.recv(4096):
                pass
        except TimeoutError:
            return None
        except ConnectionError:
            pass
        return time.monotonic() - started


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (WHOLE[:20],),
        (WHOLE, WHOLE[:20]),
        (BODY, b"half", b"a"),
    ],
)
def test_who_sends_nothing_or_half_a_request_is_cut_off(port: int, parts: tuple[bytes, ...]):
    seconds = ended_after(port, *parts, every_s=0.05)
    assert seconds is not None
    assert seconds < 1.5


def test_who_sends_a_byte_now_and_then_is_cut_off_too(port: int):
    with pytest.raises(ConnectionError):
        ended_after(port, *(WHOLE[index : index + 1] for index in range(20)), every_s=0.1)


def test_a_request_in_work_and_a_connection_that_may_be_used_again_stay(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=3) as client:
        for request in (SLOW, WHOLE):
            client.sendall(request)
            assert client.recv(4096).endswith(b"ok")
            time.sleep(0.5)  # two looks, and less than uvicorn's own five seconds
