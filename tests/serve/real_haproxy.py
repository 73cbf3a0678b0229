"""Start the real HAProxy, as our command does, in front of replicas that misbehave."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from serve.operate.port_lender import LENDER, PortLender
from tests.children import die_with_parent

# As Ray writes it, cut to what is changed and what HAProxy needs to start.
CONFIG = """
global
    stats socket {folder}/haproxy/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    option abortonclose
    option splice-request
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    errorfile 503 {folder}/haproxy/500.http
frontend prometheus
    bind :{metrics}
    http-request return status 200
frontend http_frontend
    bind 127.0.0.1:{front}
    use_backend replicas if {{ path_beg /v1 }}
    use_backend serve if {{ path_beg /waited }}
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path"
backend replicas
    http-reuse always
    server lost 127.0.0.1:{dead}
backend serve
    server proxy 127.0.0.1:{proxy}
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


@dataclass(frozen=True)
class Proxy:
    """HAProxy's folder and configuration, where callers, replicas and it itself listen, and who
    lends it its port.
    """

    folder: Path
    config: str
    url: str
    replica_port: int
    metrics: str
    lender: str

    @contextmanager
    def started(self, config: str) -> Iterator[subprocess.Popen[bytes]]:
        """Yield the process once it answers, and kill it at the end."""
        file = self.folder / "haproxy.cfg"
        file.write_text(config)
        command = [Path(sys.executable).with_name("medembed-haproxy"), "-db", "-f", str(file)]
        process = subprocess.Popen(
            command,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            env=os.environ | {LENDER: self.lender},
        )
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(self.metrics, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield process
        finally:
            process.kill()
            process.wait(10)


@contextmanager
def held_port(tmp_path: Path) -> Iterator[Proxy]:
    """Yield a HAProxy that can be started, whose port this process holds."""
    folder = tmp_path / "haproxy"
    folder.mkdir(mode=0o755)
    (folder / "500.http").write_text(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    )
    with closing(PortLender()) as lender:
        metrics, front, dead, stats, fallback = free_ports(5)
        path = lender.open(str(tmp_path), ["127.0.0.1", "127.0.0.2"], front)
        config = CONFIG.format(
            folder=tmp_path, metrics=metrics, front=front, dead=dead, stats=stats, proxy=fallback
        )
        with plain_text_proxy(fallback):
            yield Proxy(
                folder,
                config,
                f"http://127.0.0.1:{front}",
                dead,
                f"http://127.0.0.1:{metrics}",
                path,
            )


@contextmanager
def plain_text_proxy(port: int) -> Iterator[None]:
    """Answer as Serve's own proxy does where no replica came in time."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(408)
            self.send_header("content-type", "text/plain")
            self.end_headers()
            self.wfile.write(b"Request timed out")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@contextmanager
def hasty_replica(port: int) -> Iterator[None]:
    """A replica that answers as soon as it has headers, as one without room does, and reads no
    body.
    """

    def answer(caller: socket.socket) -> None:
        with suppress(OSError):
            while b"\r\n\r\n" not in caller.recv(2048):
                pass
            caller.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno")

    callers: list[socket.socket] = []  # they stay open

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                callers.append(listener.accept()[0])
                threading.Thread(target=answer, args=(callers[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    for caller in callers:
        caller.close()
