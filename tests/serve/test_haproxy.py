import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from medembed.errors import ConfigError
from serve.errors import explain
from serve.haproxy import close_ports, error_file, haproxy_environment, is_behind_haproxy

# As Ray writes it, cut to what is changed and what HAProxy needs to start.
CONFIG = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    errorfile 503 {folder}/500.http
frontend prometheus
    bind :{metrics}
    http-request return status 200
frontend http_frontend
    bind 127.0.0.1:{front}
    default_backend replicas
backend replicas
    server lost 127.0.0.1:{dead}
listen stats
  bind *:{stats}
  stats enable
"""


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def test_ports_of_haproxy_itself_move_to_loopback_and_others_stay():
    config = CONFIG.format(folder="/x", metrics=9101, front=8000, dead=30000, stats=8404)
    moved = close_ports(config, "127.0.0.1")
    assert [line.strip() for line in moved.splitlines() if "bind" in line] == [
        "bind 127.0.0.1:9101", "bind 127.0.0.1:8000", "bind 127.0.0.1:8404",
    ]  # fmt: skip


def test_what_haproxy_answers_for_a_lost_replica_is_what_the_api_answers():
    head, body = error_file().split(b"\r\n\r\n")
    lost = explain(RayActorError(), 1)
    assert json.loads(body) == lost.body()
    assert f"HTTP/1.1 {lost.status} ".encode() in head
    assert f"Retry-After: {lost.headers['retry-after']}".encode() in head


def test_the_real_haproxy_starts_by_our_command_on_loopback_alone_and_refuses_in_our_shape(tmp_path: Path):
    metrics, front, dead, stats = free_ports(4)
    (tmp_path / "500.http").write_text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    (tmp_path / "haproxy.cfg").write_text(
        CONFIG.format(folder=tmp_path, metrics=metrics, front=front, dead=dead, stats=stats)
    )
    command = haproxy_environment(str(tmp_path))["RAY_SERVE_HAPROXY_BINARY_PATH"]
    process = subprocess.Popen([command, "-db", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{metrics}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{front}/v1/models", timeout=10)
        assert refused.value.code == 503
        assert refused.value.headers["retry-after"] == "1"
        assert json.loads(refused.value.read())["error"]["code"] == "replica_lost"
        listening = subprocess.run(
            [sys.executable, "-c", _LISTENING, str(process.pid)], capture_output=True, text=True, check=True
        )
        assert set(listening.stdout.split()) == {"127.0.0.1"}
    finally:
        process.terminate()
        process.wait(10)


_LISTENING = """
import psutil, sys
for each in psutil.Process(int(sys.argv[1])).net_connections("inet"):
    if each.status == psutil.CONN_LISTEN:
        print(each.laddr.ip)
"""


def test_a_ray_without_haproxy_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    with pytest.raises(ConfigError, match="Ray was started without it; start Ray on each node"):
        is_behind_haproxy("haproxy")


@pytest.mark.parametrize(
    ("ingress", "started_for_it", "expected"),
    [("auto", "1", True), ("auto", "0", False), ("serve", "1", False), ("haproxy", "1", True)],
)
def test_auto_is_behind_haproxy_where_ray_was_started_for_it(
    ingress: Any, started_for_it: str, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", started_for_it)
    assert is_behind_haproxy(ingress) is expected
