"""Deploys an application declaratively for as long as a `with` block lasts, so that promotion can
swap its model.
"""

import contextlib
import io
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.encoding.model_files import fetch_model, model_width, read_card
from medembed.errors import ServiceError
from serve.app import ServeConfig, read_arguments
from serve.operate.cluster_token import check_dashboard
from serve.operate.dashboard import IMPORT_PATH, Dashboard, token_file
from serve.operate.door import DOOR
from serve.operate.haproxy import ANYWHERE
from serve.operate.host import HOST

APP = "medembed"
_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
_PROXY_WAITS_S = 2.0  # longer than limits.request_timeout_s
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*: )")  # module and class of an exception


def to_arguments(config: ServeConfig) -> dict[str, Any]:
    """The config as arguments of `build`, which another process with another working directory
    understands.
    """
    given = config.model_dump(mode="json", exclude_unset=True)
    _set_absolute(given, "model", "table")
    _set_absolute(given.get("search", {}), "documents")
    _set_absolute(given.get("keys", {}), "file")
    _set_absolute(given.get("models", {}), *given.get("models", {}))
    _set_absolute(given.get("rerank", {}), "model")
    return given


@contextmanager
def deployed(
    arguments: dict[str, Any],
    *,
    host: str = HOST,
    port: int,
    prefix: str = "",
    start_timeout_s: float,
    dashboard: Dashboard,
) -> Iterator[str]:
    """Yields the base URL of the application, which answers there; ends Serve afterwards.

    Callers reach it on `host`: where this process lends its port to HAProxy, Serve itself stays on
    loopback.

    `ray.init` comes first. Raises ServiceError if Serve runs there already, or the application does
    not come up; ConfigError if that Ray asks for no token.
    """
    import ray
    from ray import serve

    if serve.status().proxies:
        raise ServiceError(
            "Serve runs on this Ray cluster already, with options of its own: deploy there with "
            "serve deploy serve/config.yaml, or give RAY_ADDRESS of another cluster."
        )
    check_dashboard(dashboard.address, bool(arguments.get("without_token")))
    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ours ends a request sooner, in OpenAI's shape; this ends one that waits in a proxy for a
    # replica that never comes.
    timeout_s = read_arguments(arguments).limits.request_timeout_s + _PROXY_WAITS_S
    listens = HOST if DOOR in os.environ else host
    options = {"host": listens, "port": port, "request_timeout_s": timeout_s}
    url = f"http://{HOST if host == ANYWHERE else host}:{port}{prefix}"
    starter = ThreadPoolExecutor(1)
    try:
        # HAProxy takes seconds to start: the application is built, and its model loaded, meanwhile.
        started = starter.submit(_start, options)
        _wait_for_controller(started)
        app = {
            "name": APP,
            "route_prefix": prefix or "/",
            "import_path": IMPORT_PATH,
            "args": arguments,
        }
        environment = dict(ray.get_runtime_context().runtime_env)
        if environment:  # how this repository's code came to the cluster
            app["runtime_env"] = environment
        app["logging_config"] = {"enable_access_log": False}
        dashboard.deploy({"http_options": options, "applications": [app]})
        _wait_until_up(url, start_timeout_s, started)
        yield url
    finally:
        starter.shutdown(wait=False)  # what it waits for ends with Serve
        # Ray prints on standard output that the controller's last call died with it, as it should.
        with contextlib.redirect_stdout(io.StringIO()):
            serve.shutdown()


def _start(options: dict[str, Any]) -> None:
    """Start Serve. Raises ServiceError if it does not come up, as where another program took a port
    meanwhile.
    """
    from ray import serve
    from ray.exceptions import RayError

    try:
        serve.start(http_options=options, logging_config={"enable_access_log": False})
    except (RayError, TimeoutError) as error:
        raise ServiceError(f"serving did not start: {reason_of_start(error)}") from None


def _wait_for_controller(started: Future[None]) -> None:
    """Returns when Serve's controller is there, which `_start` makes first. Raises what that
    raised.
    """
    import ray
    from ray.serve.context import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    while not started.done():
        with contextlib.suppress(ValueError):  # no such actor yet
            ray.get_actor(SERVE_CONTROLLER_NAME, SERVE_NAMESPACE)
            return
        time.sleep(0.1)
    started.result()


def reason_of_start(error: BaseException) -> str:
    """The line in which HAProxy names the fault, which comes amid others, or the last one of the
    error.
    """
    lines = [
        line.strip()
        for line in str(getattr(error, "cause", None) or error).splitlines()
        if line.strip()
    ]
    alerts = [line.partition(": ")[2] for line in lines if "cannot bind socket" in line]
    return [type(error).__name__, *lines, *alerts[:1]][-1]


@contextmanager
def kept_token(workspace: str, address: str) -> Iterator[Path]:
    """The file with this session's token, for `medembed promote` and Ray's own tools; none but its
    owner reads it.
    """
    file = token_file(workspace, address)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(os.environ["RAY_AUTH_TOKEN"])
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def describe(url: str, user_config: dict[str, Any], ranker: dict[str, Any] | None = None) -> str:
    """The line that says what is served, and where; `ranker` is the Reranker's `user_config`."""
    folder = fetch_model(user_config["model"])
    width = model_width(folder)
    trained = read_card(folder).dimensions
    dimensions = ", ".join(
        str(one) for one in sorted({*trained, *([width] if width else [])}, reverse=True)
    )
    note = "" if trained else ", not trained for fewer"
    others = "".join(
        f"; {name} version {one['version']}" for name, one in user_config.get("models", {}).items()
    )
    ranks = f"; reranks with {ranker['name']} version {ranker['version']}" if ranker else ""
    main = f"{user_config['name']} version {user_config['version']}"
    return f"{url} serves {main}, dimensions {dimensions}{note}{others}{ranks}"


def warn_of_table(config: ServeConfig, user_config: dict[str, Any]) -> str | None:
    """The line for a server whose table fits one version of a model that may be promoted; None
    where all is well.
    """
    if config.table is None or user_config["table"] != storage.absolute(config.table):
        return None  # a folder, or a pattern, has one for each encoder
    if not config.model.startswith("models:/"):
        return None
    return (
        f"table: {config.table} is of one encoder; a promotion or rollback to a model with another "
        "is refused: give the folder that keeps a table for each, as medembed encode makes it"
    )


def _wait_until_up(url: str, timeout_s: float, started: Future[None]) -> None:
    """Returns when the application runs and its HTTP port answers. Raises ServiceError if it does
    not come up, or what the start of Serve raised.
    """
    from ray import serve

    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if started.done():
            started.result()
        app = serve.status().applications.get(APP)
        if app is not None and app.status in _FAILED:
            raise ServiceError(f"serving did not start: {reason_of(app)}")
        if app is not None and app.status == "RUNNING" and _answers(url):
            return
        time.sleep(0.2)
    state = f"{app.status}: {reason_of(app)}" if app else "not deployed"
    raise ServiceError(f"serving did not start within {timeout_s:g} s (start_timeout_s): {state}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/live", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def reason_of(app: Any) -> str:
    """Why an application does not run: what its first deployment with a message raised, or its own
    last line.

    `app` is an ApplicationStatusOverview of Serve's.
    """
    messages = [each.message for each in app.deployments.values()]
    text = next(filter(None, messages), app.message)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _RAISED.sub(r"\1", lines[-1]) if lines else "no reason given"


def _set_absolute(values: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if isinstance(values.get(key), str) and not values[key].startswith("models:/"):
            values[key] = storage.absolute(values[key])
