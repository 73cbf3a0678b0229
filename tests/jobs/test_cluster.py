"""A cluster that is not there is one line, soon, and a signal is heard while it is awaited."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from jobs import cluster
from jobs.cluster import check_dashboard, check_head
from jobs.ray_internals import HEAD_CALL
from medembed.errors import ConfigError, ServiceError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Yield a port that takes connections and says nothing."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.settimeout(60)
        yield made


@pytest.fixture
def silent(listening: socket.socket) -> str:
    """Return its host:port."""
    return f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    "address", ["http://head:8265", "ray://head:10001", "head", "6379", ":6379", "head:port"]
)
def test_what_is_no_heads_address_is_told_with_the_right_form(address: str):
    with pytest.raises(
        ConfigError, match=r"RAY_ADDRESS: found .*; expected host:port .* RAY_ADDRESS=10.0.0.5:6379"
    ):
        check_head(address)


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "head", "ray://head:10001", "auto", ""])
def test_what_is_no_dashboards_address_is_told_with_the_right_form(address: str):
    with pytest.raises(
        ConfigError, match=r"--address: found .*; expected http://host:port .* http://10.0.0.5:8265"
    ):
        check_dashboard(address)


def test_a_port_that_is_closed_or_stays_silent_is_told_soon(
    silent: str, monkeypatch: pytest.MonkeyPatch
):
    assert cluster._TIMEOUT_S <= 10
    monkeypatch.setattr(cluster, "_TIMEOUT_S", 0.5)
    for address in (silent, "127.0.0.1:1"):
        with pytest.raises(
            ServiceError, match=f"RAY_ADDRESS {address}: no Ray answers there within 0.5 s"
        ) as caught:
            check_head(address)
        with pytest.raises(
            ServiceError, match=f"--address http://{address}: no dashboard answers there"
        ):
            check_dashboard(f"http://{address}")
        assert "\n" not in str(caught.value)


def test_auto_means_the_ray_that_was_started_last_here_dead_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "_TIMEOUT_S", 0.5)
    # others' on this machine
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: set())
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(ServiceError, match="RAY_ADDRESS auto: no Ray runs on this machine"):
        check_head("auto")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    with pytest.raises(ServiceError, match="RAY_ADDRESS 127.0.0.1:1: no Ray answers there"):
        check_head("auto")


def test_what_speaks_grpc_is_taken_for_a_head_and_what_answers_http_for_a_dashboard():
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    check_head(f"127.0.0.1:{port}")
    server.stop(None)
    # 501 to all
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as answering:
        thread = threading.Thread(target=answering.handle_request)
        thread.start()
        check_dashboard(f"http://127.0.0.1:{answering.server_port}/")
        thread.join()


def test_a_missing_token_is_told_at_once(monkeypatch: pytest.MonkeyPatch):
    def refuse(_: bytes, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication token is missing")

    handler = grpc.unary_unary_rpc_method_handler(refuse)
    server = grpc.server(ThreadPoolExecutor(1))
    service, method = HEAD_CALL.strip("/").split("/")
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(
        ServiceError, match=r"the cluster asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH"
    ):
        check_head(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    check_head(address)  # Ray's own client has the token
    with pytest.raises(ServiceError, match="no dashboard answers there"):
        check_dashboard(f"http://{address}")
    server.stop(None)


def test_a_job_that_waits_for_a_cluster_hears_sigterm(
    listening: socket.socket, silent: str, encoder_folder: Path, tmp_path: Path
):
    places = [f"{name}={tmp_path}/{name}" for name in ("data", "table", "output")]
    command = [sys.executable, "-m", "jobs.mine", f"model={encoder_folder}", *places]
    environment = os.environ | {"RAY_ADDRESS": silent}
    job = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    connection, _ = listening.accept()
    job.send_signal(signal.SIGTERM)
    _, told = job.communicate(timeout=9)  # less than it would wait
    connection.close()
    assert job.returncode == 143
    assert "interrupted; what was finished stays" in told
