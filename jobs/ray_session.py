"""Connect a job to a Ray cluster, or start a private Ray that ends with the job."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from jobs.cluster import IN_RAY_JOB, check_head, hint
from jobs.private_ray import Environment, no_more, private_ray
from jobs.ray_internals import few_processes, hush_raylet
from medembed.errors import ServiceError, first_line
from medembed.language import current_language

SPARE_CPUS = 2  # that a private Ray has beyond those of the machine, for actors that mostly wait
TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 128 + signal.SIGHUP
_QUIET: dict[str, Any] = {
    "logging_level": logging.ERROR,
    "log_to_driver": False,
    "configure_logging": False,
}


@contextmanager
def ray_session(
    address: str | None,
    dashboard_port: int | None = None,
    more: Callable[[str], Environment] = no_more,
) -> Iterator[str]:
    """Connect to the Ray at `address`, or start a private one; yield its dashboard's address.

    The private one has a folder and a token of its own, so that it never meets another Ray of this
    user. If a port for it is given, it has a dashboard, on loopback and behind that token. `more`
    gives switches for its folder.
    """
    if address:
        check_head(address)
    with nullcontext() if address else private_ray(more):
        import ray  # only now: it reads its switches when it is imported

        # Read when a job imports ray.data: that would log workers' tracebacks, which we raise.
        os.environ["RAY_DATA_LOG_LEVEL"] = "CRITICAL"
        hush_raylet()
        try:
            dashboard = _connect(address) if address else _start(dashboard_port)
            exit_on_signals()  # once more: ray.init puts a handler of its own in its place
            yield f"http://{dashboard}"
        finally:
            ray.shutdown()


def exit_on_signals() -> None:
    """Have SIGTERM, and SIGHUP unless nohup ignores it, end this job in good order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(HUNG_UP))


def _connect(address: str) -> str:
    """Connect to a cluster, which gets this repository's code and the user's language, unless a
    submitted job has brought them; return its dashboard's address.
    """
    import ray

    # Ray hears no signal while it connects; there is nothing to clean up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    environment: dict[str, Any] | None = None
    if IN_RAY_JOB not in os.environ:
        language = {"LANGUAGE": current_language()}
        environment = {"py_modules": _own_packages(), "env_vars": language}
    try:
        with _mute_native_output():
            return str(ray.init(address=address, runtime_env=environment, **_QUIET).dashboard_url)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = first_line(error).removesuffix(", either:")
        raise ServiceError(
            "RAY_ADDRESS {address}: cannot connect: {reason}; {hint}",
            address=address,
            reason=reason,
            hint=hint(),
        ) from None


def _start(dashboard_port: int | None) -> str:
    """Start a private Ray; return its dashboard's address, "None" where it has none."""
    import ray

    try:
        with _mute_native_output(), few_processes():
            context = ray.init(
                address="local",
                num_cpus=(os.cpu_count() or 1) + SPARE_CPUS,
                include_dashboard=dashboard_port is not None,
                dashboard_host="127.0.0.1",
                dashboard_port=dashboard_port,
                object_store_memory=1 << 29,
                **_QUIET,
            )
    except Exception as error:  # Ray raises Exception itself, with the log of its processes
        raise ServiceError(
            "a private Ray did not start: {error}", error=first_line(error)
        ) from error
    return str(context.dashboard_url)


def _own_packages() -> list[str]:
    import jobs
    import medembed
    import serve

    return [str(next(iter(package.__path__))) for package in (jobs, medembed, serve)]


@contextmanager
def _mute_native_output() -> Iterator[None]:
    """Hide what native code writes to standard error: Ray says there that a log level was set."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
