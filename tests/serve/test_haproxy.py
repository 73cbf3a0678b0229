"""HAProxy as Ray starts it by our command: closed to strangers, with errors in OpenAI's shape."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from medembed.errors import ConfigError
from serve.operate.haproxy import check_ingress, haproxy_environment
from serve.operate.haproxy_config import change_config
from tests.serve.hangups import REQUEST, cpu_s, reset
from tests.serve.real_haproxy import Proxy, hasty_replica, held_port

LOOPBACK = "127.0.0.1"


def without_replicas(config: str) -> str:
    return re.sub(r"^ *use_backend .*$", "", config, flags=re.MULTILINE)


def binds(config: str) -> list[str]:
    lines = [line.strip() for line in config.splitlines()]
    return [line.removeprefix("bind ") for line in lines if line.startswith("bind")]


@pytest.fixture(scope="module")
def rays_own() -> str:
    """Return the configuration that Ray writes for an application of one replica."""
    code = (
        "import sys; from ray.serve._private import haproxy as ray; from ray.serve.config import "
        "HTTPOptions\nservers = [ray.ServerConfig(name='r', host='127.0.0.1', "
        "port=30000)]\nbackend = ray.BackendConfig(name='app', path_prefix='/', "
        "app_name='medembed', servers=servers)\noptions = HTTPOptions(host='127.0.0.1', "
        "port=8000)\nray.HAProxyApi(ray.HAProxyConfig(http_options=options), {'app': "
        "backend})._generate_config_file_internal()\n"
    )
    environment = os.environ | haproxy_environment(
        tempfile.mkdtemp(prefix="mh-", dir="/tmp"), request_timeout_s=99.5
    )
    file = Path(environment["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"])
    try:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
        return file.read_text()
    finally:
        shutil.rmtree(file.parent)


def test_of_what_ray_writes_all_is_closed_and_a_caller_who_left_is_forgotten(rays_own: str):
    config = change_config(rays_own, LOOPBACK)
    assert binds(config) == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    assert re.findall(r"stats socket \S+ mode (\d+)", config) == ["600"]
    defaults = config.partition("defaults\n")[2].partition("\nfrontend")[0]
    assert dict(re.findall(r"^ +timeout (\S+) (\S+)$", defaults, re.MULTILINE)) == {
        "client-fin": "5s",
        "server-fin": "5s",
        "http-request": "10s",
        "connect": "5s",
        "client": "30s",
        "server": "130s",
        "http-keep-alive": "90s",
    }
    assert config.count("http-request del-header x-request-disconnect-disabled\n") == 1
    assert "option abortonclose" in config
    assert "splice" not in config


def test_callers_reach_haproxy_by_the_sockets_that_it_is_lent_and_wait_while_it_knows_nobody(
    rays_own: str,
):
    config = change_config(rays_own, LOOPBACK, [7, 9])
    assert binds(config) == ["127.0.0.1:9101", "fd@7,fd@9", "127.0.0.1:8404"]
    assert "server r 127.0.0.1:30000" in config, "replicas stay where Serve was told"
    assert binds(change_config(without_replicas(rays_own), LOOPBACK, [7, 9])) == [
        "127.0.0.1:9101",
        "127.0.0.1:8404",
    ]


@pytest.mark.parametrize(
    ("is_deployed", "start", "end"),
    [
        (True, 'status 404 content-type application/json string \'{"error": ', "'"),
        (False, 'status 503 content-type application/json string \'{"error": ', "retry-after 1"),
    ],
)
def test_a_path_of_nobody_is_not_found_and_callers_come_again_where_nothing_is_deployed_yet(
    rays_own: str, is_deployed: bool, start: str, end: str
):
    given = rays_own if is_deployed else without_replicas(rays_own)
    config = change_config(given, LOOPBACK)
    (refusal,) = re.findall(r"backend default_backend\n.*return (.*)", config)
    assert refusal.startswith(start)
    assert refusal.endswith(end)
    assert ('"code": "not_ready"' in refusal) is not is_deployed
    assert "text/plain lf-string" not in config


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Yield the real HAProxy, whose port this process holds."""
    with held_port(tmp_path) as made:
        yield made


def test_the_real_haproxy_starts_by_our_command_on_loopback_alone_and_refuses_in_our_shape(
    proxy: Proxy,
):
    with proxy.started(proxy.config) as process:
        lost = ("replica_lost", 503, "1")
        refusals = [refusal(f"{proxy.url}/{path}") for path in ("v1/models", "waited", "elsewhere")]
        assert refusals == [lost, lost, (None, 404, None)]
        sockets = psutil.Process(process.pid).net_connections("inet")
        listening = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]
        assert sorted(listening) == ["127.0.0.1"] * 3 + ["127.0.0.2"]
        assert proxy.folder.stat().st_mode & 0o777 == 0o700
        for path in (proxy.folder / "admin.sock", Path(proxy.lender)):
            assert path.stat().st_mode & 0o777 == 0o600, (
                "who has one sends the traffic elsewhere, or takes it"
            )


_HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_body_that_breaks_off_is_refused_in_our_shape(proxy: Proxy):
    hasty = proxy.config.replace("timeout client 5s", "timeout client 300ms")
    # A replica's port that takes a connection, and reads nothing.
    with socket.create_server(("127.0.0.1", proxy.replica_port)), proxy.started(hasty):
        answers = [
            tell(proxy, _CHUNKED + b"4\r\ntext\r\n", b"no length\r\n"),
            tell(proxy, _HEAD + b"Content-Length: 100\r\n\r\ntext"),
        ]
    assert [head.split()[1] for head, _ in answers] == [b"400", b"400"]
    errors = [json.loads(body)["error"] for _, body in answers]
    assert [error["message"] for error in errors] == [
        "the body of this request is not valid HTTP, or did not come in time."
    ] * 2


def tell(proxy: Proxy, *parts: bytes) -> tuple[bytes, bytes]:
    """Return head and body of what comes back for these bytes."""
    with socket.create_connection(
        ("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=10
    ) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(0.1)  # each part is read alone
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def test_callers_who_reset_when_they_are_answered_early_leave_haproxy_in_no_circle(proxy: Proxy):
    port = int(proxy.url.rpartition(":")[2])
    with hasty_replica(proxy.replica_port), proxy.started(proxy.config) as process:
        for _ in range(60):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(REQUEST)
            time.sleep(0.01)  # until it is answered
            reset(client)
        time.sleep(0.5)
        assert cpu_s([psutil.Process(process.pid)], seconds=1) < 0.1


def test_no_caller_is_refused_while_a_haproxy_that_was_killed_is_started_anew(proxy: Proxy):
    with proxy.started(proxy.config):
        pass
    with ThreadPoolExecutor() as callers:
        waiting = callers.submit(refusal, f"{proxy.url}/waited")
        with proxy.started(without_replicas(proxy.config)):
            time.sleep(0.2)
            assert not waiting.done(), "it knows nobody who could answer"
        with proxy.started(proxy.config):
            assert waiting.result(10) == ("replica_lost", 503, "1")


def refusal(url: str) -> tuple[str | None, int, str | None]:
    """Return (code, status, Retry-After) of an answer in OpenAI's shape."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    code = json.loads(refused.value.read())["error"]["code"]
    return code, refused.value.code, refused.value.headers["retry-after"]


def test_a_ray_without_haproxy_or_a_long_folder_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="at most 27 characters"):
        haproxy_environment("/tmp/" + "x" * 23)
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    with pytest.raises(ConfigError, match="Ray was started without it; start Ray on each node"):
        check_ingress("haproxy")
    for ingress in ("auto", "serve"):
        check_ingress(ingress)
