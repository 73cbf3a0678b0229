"""A Ray cluster that asks for no token is refused, unless it is said aloud."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs import cluster
from medembed.errors import ConfigError, ServiceError
from serve.operate.safety import check_dashboard, check_ray
from serve.operate.swap import Server, ServingConfig
from tests.stranger import open_folder


@contextmanager
def dashboard(answer: Any) -> Iterator[str]:
    """The address of a server that answers every GET so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_deployment_and_a_promotion_are_refused_where_ray_asks_for_no_token(tmp_path: Path):
    with dashboard({"authentication_mode": "disabled"}) as address:
        with pytest.raises(ConfigError, match="RAY_AUTH_MODE=token .* or say without_token=true"):
            check_dashboard(address, allowed=False)
        with pytest.raises(ConfigError, match="or say serving.without_token=true"):
            Server(ServingConfig(address=address), str(tmp_path))


def test_said_aloud_it_is_allowed_and_logged(caplog: pytest.LogCaptureFixture):
    with (
        dashboard({"authentication_mode": "disabled"}) as address,
        caplog.at_level(logging.WARNING),
    ):
        check_dashboard(address, allowed=True)
    assert "whoever reaches its ports runs code there (without_token=true)" in caplog.text


def test_a_cluster_with_a_token_is_taken_and_what_is_no_dashboard_is_said():
    with dashboard({"authentication_mode": "token"}) as address:
        check_dashboard(address, allowed=False)
    with (
        dashboard({"something": "else"}) as address,
        pytest.raises(ServiceError, match="is it Ray's dashboard"),
    ):
        check_dashboard(address, allowed=False)
    with pytest.raises(ServiceError, match="cannot ask whether this Ray has a token"):
        check_dashboard(address, allowed=False)


def test_a_token_that_every_user_can_read_is_refused_wherever_a_cluster_is_asked(
    monkeypatch: pytest.MonkeyPatch,
):
    with open_folder() as root, dashboard({"authentication_mode": "token"}) as address:
        file = root / "auth_token"
        file.write_text("a token")
        file.chmod(0o644)
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
        asks: list[Callable[[], None]] = [
            lambda: check_dashboard(address, allowed=False),
            lambda: cluster.check_dashboard(address),
            lambda: cluster.check_head(address.removeprefix("http://")),
            lambda: check_ray(allowed=False),
        ]
        for ask in asks:
            with pytest.raises(
                ConfigError, match=f"{file}: every user of this machine can read this secret"
            ):
                ask()
        file.chmod(0o600)
        check_dashboard(address, allowed=False)
        file.chmod(0o644)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # then it is no secret of this cluster's
        cluster.check_dashboard(address)


def test_an_application_is_not_built_on_a_ray_without_a_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    check_ray(allowed=False)  # the tests' own Ray has one
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="this Ray cluster asks for no token"):
        check_ray(allowed=False)
    check_ray(allowed=True)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    check_ray(allowed=False)
