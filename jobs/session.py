"""What every job shares: reads its config, connects to Ray, prints one-line errors, writes
summary.json.
"""

import atexit
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NoReturn, TypeVar

from jobs.beforehand import check_outputs
from jobs.cluster import HINT, check_head
from jobs.few_processes import few_processes
from jobs.hush import hush_raylet
from jobs.model_check import check_models
from jobs.private_ray import Environment, no_more, private_ray
from medembed import storage
from medembed.config import Config, load_config
from medembed.errors import ConfigError, MedEmbedError, ServiceError
from medembed.privacy import close_files, silence_telemetry, without_passwords
from medembed.uris import list_uris

SomeConfig = TypeVar("SomeConfig", bound=Config)
Summary = dict[str, Any]
Ray = Literal["any", "private", "none"]

logger = logging.getLogger("medembed")
SPARE_CPUS = 2  # that a private Ray has beyond those of the machine, for actors that mostly wait
_SEEN = (
    "an argument has a password in it, which every user of this machine can see meanwhile (ps); "
    "give it in a YAML file or an environment variable, such as MLFLOW_TRACKING_URI"
)
_TERMINATED = 128 + signal.SIGTERM
_HUNG_UP = 128 + signal.SIGHUP


def run_job(
    model: type[SomeConfig],
    body: Callable[[SomeConfig], Summary],
    argv: Sequence[str] | None,
    *,
    ray: Ray | Callable[[SomeConfig], Ray] = "any",
) -> NoReturn:
    """Runs a job's body under its config and exits: 0, 2 for what the user can mend, else 128 and
    the signal's number.

    The body's summary is printed as its last lines and written to summary.json in the job's output.
    `ray` says whether the body needs Ray, and whether RAY_ADDRESS may name one that is there
    already; where that depends on the config, it is a function of it.
    """
    silence_telemetry()
    close_files()
    atexit.register(_mute)  # first in, last out
    exit_on_signals()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mask)
    logger.setLevel(logging.INFO)
    started = time.monotonic()
    try:
        given = sys.argv[1:] if argv is None else argv
        config = load_config(model, given)
        if any(argument != without_passwords(argument) for argument in given):
            logger.warning(_SEEN)
        if is_submitted():
            check_places(config)
        check_outputs(config)
        check_models(config)
        mode = ray(config) if callable(ray) else ray
        if mode == "none":
            summary = body(config)
        else:
            with ray_session(None if mode == "private" else os.environ.get("RAY_ADDRESS")):
                if is_on_many_nodes():
                    check_places(config)
                summary = body(config)
        _finish(config, summary, time.monotonic() - started)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ray Train turns Ctrl-C into SystemExit
        code = getattr(stop, "code", None)
        status = code if code in (_TERMINATED, _HUNG_UP) else 130
        _fail(
            "interrupted; what was finished stays, and the same command goes on from there.", status
        )
    except Exception as error:
        known = find_known(error) or _of_mlflow(error)
        if known is None:
            raise
        _fail(f"error: {known}", 2)
    sys.exit(0)


def is_submitted() -> bool:
    """Whether this process is the entrypoint of a Ray job, whose working directory Ray deletes
    afterwards.
    """
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def is_on_many_nodes() -> bool:
    """Whether the Ray cluster that this process is connected to has several nodes."""
    import ray

    return ray.is_initialized() and sum(node["Alive"] for node in ray.nodes()) > 1


def is_on_cluster() -> bool:
    """Whether what lies on this node's disk may be out of reach for others, or gone when the job
    ends.
    """
    return is_submitted() or is_on_many_nodes()


def check_places(config: Config) -> None:
    """Raises ConfigError if the config names a place on one node's disk; for jobs that run on a
    cluster.
    """
    for key, role, uri in list_uris(config):
        if storage.is_local(uri):
            raise ConfigError(
                f"{key}: found local {role} {uri!r}, but nodes share no disk and Ray deletes a "
                "job's folder; "
                "give s3://, gs://" + (", package:// or hf://." if role == "input" else ".")
            )


@contextmanager
def ray_session(
    address: str | None,
    dashboard_port: int | None = None,
    more: Callable[[str], Environment] = no_more,
) -> Iterator[str]:
    """Connects to the Ray at `address`, or starts a private one that ends with the job; yields its
    dashboard's address.

    The private one has a folder and a token of its own, so that it never meets another Ray of this
    user; and a dashboard, on loopback and behind that token, if a port for it is given. `more`
    gives its folder's own switches.
    """
    if address:
        check_head(address)
    with nullcontext() if address else private_ray(more):
        import ray  # only now: it reads its switches when it is imported

        try:
            dashboard = _connect(address, dashboard_port)
            exit_on_signals()  # once more: ray.init puts a handler of its own in its place
            yield f"http://{dashboard}"
        finally:
            ray.shutdown()


def _mute() -> None:
    """Ends standard error: what comes now is what DuckDB's bindings say at times of objects that
    nobody freed.
    """
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def exit_on_signals() -> None:
    """Have SIGTERM end this job in good order, and SIGHUP, as of a terminal that closes, unless
    nohup ignores it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(_HUNG_UP))


@contextmanager
def _mute_native_output() -> Iterator[None]:
    """Hides what native code writes to standard error meanwhile: Ray announces there that its log
    level was set.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _connect(address: str | None, dashboard_port: int | None) -> str:
    """Where the dashboard listens."""
    import ray

    hush_raylet()
    # Read when a job imports ray.data, which takes a second: that logs workers' tracebacks, which
    # we raise anyway.
    os.environ["RAY_DATA_LOG_LEVEL"] = "CRITICAL"
    quiet: dict[str, Any] = {
        "logging_level": logging.ERROR,
        "log_to_driver": False,
        "configure_logging": False,
    }
    if not address:
        try:
            context = _start(dashboard_port, quiet)
        except Exception as error:  # Ray raises Exception itself, with the log of its processes
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ServiceError(f"a private Ray did not start: {reason}") from error
        return str(context.dashboard_url)
    # Ray hears no signal while it connects; there is nothing to clean up
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    runtime = {} if is_submitted() else {"runtime_env": {"py_modules": _own_packages()}}
    try:
        with _mute_native_output():
            return str(ray.init(address=address, **runtime, **quiet).dashboard_url)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].removesuffix(", either:")
        raise ServiceError(f"RAY_ADDRESS {address}: cannot connect: {reason}; {HINT}") from None


def _start(dashboard_port: int | None, quiet: dict[str, Any]) -> Any:
    import ray

    with _mute_native_output(), few_processes():
        return ray.init(
            address="local",
            num_cpus=(os.cpu_count() or 1) + SPARE_CPUS,
            include_dashboard=dashboard_port is not None,
            dashboard_host="127.0.0.1",
            dashboard_port=dashboard_port,
            object_store_memory=1 << 29,
            **quiet,
        )


def _own_packages() -> list[str]:
    import jobs
    import medembed
    import serve

    return [str(next(iter(package.__path__))) for package in (jobs, medembed, serve)]


def _mask(record: logging.LogRecord) -> bool:
    """A filter of log lines: no password of a URI stands in one."""
    record.msg, record.args = without_passwords(record.getMessage()), None
    return True


def _finish(config: Config, summary: Summary, seconds: float) -> None:
    lines = summary.pop("lines", [])
    output = summary.get("output")
    summary |= {"config": config.model_dump(mode="json"), "total_seconds": round(seconds, 1)}
    if output:
        text = json.dumps(summary, indent=2, ensure_ascii=False, default=str)
        storage.write_bytes(storage.join(output, "summary.json"), without_passwords(text).encode())
        lines = [*lines, f"summary: {storage.join(output, 'summary.json')}"]
    print(without_passwords("\n".join([*lines, f"done in {seconds:.0f} s"])), flush=True)


def find_known(error: BaseException | None) -> MedEmbedError | None:
    """The MedEmbedError behind an error, also where Ray wrapped it on its way from a worker."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MedEmbedError):
            return error
        seen.add(id(error))
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _of_mlflow(error: BaseException) -> MedEmbedError | None:
    """What a job says of an error of MLflow's, which it can only have imported itself."""
    if "mlflow" not in sys.modules:
        return None
    from medembed.registry.connect import explain

    return explain(error)


def _fail(message: str, status: int) -> NoReturn:
    print(without_passwords(message), file=sys.stderr, flush=True)
    sys.exit(status)
