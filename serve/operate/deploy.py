"""Deploy an application, whose model a promotion can swap, for as long as a `with` block lasts."""

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.encoding.model_files import fetch_model, model_width, read_card
from medembed.errors import ServiceError
from medembed.language import tr
from serve.config import ServeConfig, read_arguments
from serve.operate.dashboard import IMPORT_PATH, Dashboard, token_file
from serve.operate.haproxy import ANYWHERE
from serve.operate.port_lender import LENDER
from serve.operate.run import QUIET, quiet_serve
from serve.operate.safety import check_dashboard
from serve.ray_internals import LOOPBACK, has_controller
from serve.replica.rerank import RankerSettings
from serve.replica.served_model import ModelSettings

APP = "medembed"
_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
_PROXY_WAITS_S = 2.0  # longer than limits.request_timeout_s
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*: )")  # module and class of an exception


def to_arguments(config: ServeConfig) -> dict[str, Any]:
    """Return the config as arguments of `build`, for a process in another working directory."""
    given = config.model_dump(mode="json", exclude_unset=True)
    places = (
        (given, "model"),
        (given, "table"),
        (given.get("search", {}), "documents"),
        (given.get("keys", {}), "file"),
        (given.get("rerank", {}), "model"),
    )
    for values, key in places:
        if isinstance(values.get(key), str) and not values[key].startswith("models:/"):
            values[key] = storage.absolute(values[key])
    return given


@contextmanager
def deployed(
    arguments: dict[str, Any],
    *,
    host: str = LOOPBACK,
    port: int,
    prefix: str = "",
    start_timeout_s: float,
    dashboard: Dashboard,
) -> Iterator[str]:
    """Yield the base URL of the application, which answers there; end Serve afterwards.

    Callers reach it on `host`: where this process lends its port to HAProxy, Serve itself stays on
    loopback. `ray.init` comes first. Raises ServiceError if Serve runs there already, or the
    application does not come up; ConfigError if that Ray asks for no token.
    """
    import ray
    from ray import serve

    if serve.status().proxies:
        raise ServiceError(
            "Serve runs on this Ray cluster already, with options of its own: deploy there with "
            "serve deploy serve/config.yaml, or give RAY_ADDRESS of another cluster."
        )
    check_dashboard(dashboard.address, bool(arguments.get("without_token")))
    # Our time-out ends a request sooner, in OpenAI's shape; this one ends a request that waits in a
    # proxy for a replica that never comes.
    timeout_s = read_arguments(arguments).limits.request_timeout_s + _PROXY_WAITS_S
    listens = LOOPBACK if LENDER in os.environ else host
    options = {"host": listens, "port": port, "request_timeout_s": timeout_s}
    url = f"http://{LOOPBACK if host == ANYWHERE else host}:{port}{prefix}"
    app: dict[str, Any] = {
        "name": APP,
        "route_prefix": prefix or "/",
        "import_path": IMPORT_PATH,
        "args": arguments,
        "logging_config": QUIET,
    }
    # How this repository's code came to the cluster.
    if environment := dict(ray.get_runtime_context().runtime_env):
        app["runtime_env"] = environment
    starter = ThreadPoolExecutor(1)
    with quiet_serve():
        # HAProxy takes seconds to start. The application is built, and its model loaded, meanwhile.
        started = starter.submit(_start, options)
        starter.shutdown(wait=False)  # what it waits for ends with Serve
        _wait_for_controller(started)
        dashboard.deploy({"http_options": options, "applications": [app]})
        _wait_until_up(url, start_timeout_s, started)
        yield url


def _start(options: dict[str, Any]) -> None:
    """Start Serve. Raises ServiceError, as where another program took a port meanwhile."""
    from ray import serve
    from ray.exceptions import RayError

    try:
        serve.start(http_options=options, logging_config=QUIET)
    except (RayError, TimeoutError) as error:
        raise ServiceError(
            "serving did not start: {reason}", reason=reason_of_start(error)
        ) from None


def _wait_for_controller(started: Future[None]) -> None:
    """Return when Serve's controller is there. Raises what its start raised."""
    while not started.done():
        if has_controller():
            return
        time.sleep(0.1)
    started.result()


def reason_of_start(error: BaseException) -> str:
    """Return the line in which HAProxy names a port that is taken, or the last one of the error."""
    lines = _lines_of(str(getattr(error, "cause", None) or error))
    for line in lines:
        if "cannot bind socket" in line:
            return line.partition(": ")[2]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def kept_token(workspace: str, address: str) -> Iterator[Path]:
    """Write this session's token, for its owner alone, where `medembed promote` looks for it."""
    file = token_file(workspace, address)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(os.environ["RAY_AUTH_TOKEN"])
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def describe(url: str, settings: ModelSettings, ranker: RankerSettings | None = None) -> str:
    """Return the line that says what is served, and where."""
    folder = fetch_model(settings.model)
    width = model_width(folder)
    trained = read_card(folder).dimensions
    dimensions = sorted({*trained, *([width] if width else [])}, reverse=True)
    line = tr(
        "{url} serves {name} version {version}, dimensions {dimensions}",
        url=url,
        name=settings.name,
        version=settings.version,
        dimensions=", ".join(map(str, dimensions)),
    )
    if not trained:
        line += tr(", not trained for fewer")
    if ranker:
        line += tr(
            "; reranks with {name} version {version}", name=ranker.name, version=ranker.version
        )
    return line


def warn_of_table(config: ServeConfig, settings: ModelSettings) -> str | None:
    """Return the line for a table that fits one version of a model that may be promoted."""
    if config.table is None or settings.table != storage.absolute(config.table):
        return None  # a folder, or a pattern, has one for each encoder
    if not config.model.startswith("models:/"):
        return None
    return tr(
        "table: {table} is of one encoder; a promotion or rollback to a model with another is "
        "refused: give the folder that keeps a table for each, as medembed encode makes it",
        table=config.table,
    )


def _wait_until_up(url: str, timeout_s: float, started: Future[None]) -> None:
    """Return when the application runs and answers. Raises ServiceError if it does not."""
    from ray import serve

    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if started.done():
            started.result()
        app = serve.status().applications.get(APP)
        if app is not None and app.status in _FAILED:
            raise ServiceError("serving did not start: {reason}", reason=reason_of(app))
        if app is not None and app.status == "RUNNING" and _answers(url):
            return
        time.sleep(0.2)
    state = f"{app.status}: {reason_of(app)}" if app else tr("not deployed")
    raise ServiceError(
        "serving did not start within {timeout_s:g} s (start_timeout_s): {state}",
        timeout_s=timeout_s,
        state=state,
    )


def _answers(url: str) -> bool:
    with suppress(urllib.error.URLError, TimeoutError, ConnectionError):
        urllib.request.urlopen(f"{url}/health/live", timeout=5).close()
        return True
    return False


def reason_of(app: Any) -> str:
    """Return what the first deployment with a message raised, or the application's last line.

    `app` is an ApplicationStatusOverview of Serve's.
    """
    messages = [deployment.message for deployment in app.deployments.values()]
    lines = _lines_of(next(filter(None, messages), app.message))
    return _RAISED.sub(r"\1", lines[-1]) if lines else tr("no reason given")


def _lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]
