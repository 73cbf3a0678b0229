"""A start that would let strangers in is refused, unless the config says that they may come."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.serve import context

from jobs import cluster
from medembed.errors import ConfigError, ServiceError
from serve.operate.safety import (
    check_dashboard,
    check_host,
    check_origins,
    check_ray,
    check_serve_host,
)
from serve.operate.swap import Server, ServingConfig
from tests.stranger import open_folder


@contextmanager
def dashboard(answer: Any) -> Iterator[str]:
    """Yield the address of a server that answers every GET so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_deployment_and_a_promotion_are_refused_where_ray_asks_for_no_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with dashboard({"authentication_mode": "disabled"}) as address:
        with pytest.raises(ConfigError, match="RAY_AUTH_MODE=token .* or say without_token=true"):
            check_dashboard(address, allowed=False)
        with pytest.raises(ConfigError, match="or say serving.without_token=true"):
            Server(ServingConfig(address=address), str(tmp_path))
        with caplog.at_level(logging.WARNING):
            check_dashboard(address, allowed=True)
    assert "whoever reaches its ports runs code there (without_token=true)" in caplog.text


def test_a_cluster_with_a_token_is_taken_and_what_is_no_dashboard_is_said():
    with dashboard({"authentication_mode": "token"}) as address:
        check_dashboard(address, allowed=False)
    with dashboard({}) as address, pytest.raises(ServiceError, match="is it Ray's dashboard"):
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
        for ask in (
            lambda: check_dashboard(address, allowed=False),
            lambda: cluster.check_dashboard(address),
            lambda: cluster.check_head(address.removeprefix("http://")),
            lambda: check_ray(allowed=False),
        ):
            with pytest.raises(ConfigError, match=f"{file}: every user of this machine can read"):
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


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_an_address_that_other_machines_reach_needs_keys_or_a_word_for_it(host: str):
    with pytest.raises(ConfigError, match=f"host: {host} is open .*or say without_keys=true"):
        check_host(host, has_keys=False)
    assert check_host(host, has_keys=True)
    assert check_host(host, has_keys=False, without_keys=True)
    assert not check_host("127.0.0.2", has_keys=False)


OPEN_HOSTS = ["0.0.0.0", "::", "10.0.0.5", "2001:db8::1", "head.example.org"]


@pytest.mark.parametrize("host", [*OPEN_HOSTS, "127.0.0.1", "localhost", "::1", None])
def test_a_deployment_without_keys_is_refused_where_other_machines_reach_serve(
    host: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    client = None if host is None else SimpleNamespace(http_config=SimpleNamespace(host=host))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(
        context, "_get_global_client", lambda raise_if_no_controller_running: client
    )
    check_serve_host(has_keys=True, without_keys=False)
    if host not in OPEN_HOSTS:
        check_serve_host(has_keys=False, without_keys=False)
        return
    with pytest.raises(ConfigError, match=f"http_options.host: {host} is open to other machines"):
        check_serve_host(has_keys=False, without_keys=False)
    with caplog.at_level(logging.WARNING):
        check_serve_host(has_keys=False, without_keys=True)
    assert f"{host} is open to other machines, and this server has no keys" in caplog.text


@pytest.mark.parametrize(
    "origin", ["app.example.org", "https://app.example.org/", "https://*.org", "null", ""]
)
def test_what_is_no_origin_is_refused_and_all_origins_are_without_keys(origin: str):
    with pytest.raises(ConfigError, match="expected an origin such as"):
        check_origins([origin], has_keys=True)
    check_origins(["*"], has_keys=True)
    check_origins(["https://app.example.org", "http://[::1]:3000"], has_keys=False)
    with pytest.raises(ConfigError, match="this server has no keys"):
        check_origins(["*"], has_keys=False)
