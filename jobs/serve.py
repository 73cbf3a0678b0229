"""Serve a model over HTTP until Ctrl-C; `medembed promote` swaps it without a pause."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pydantic import Field

from jobs.private_ray import Environment
from jobs.session import Summary, is_submitted, ray_session, run_job
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.app import ServeConfig, resolve
from serve.cors import check_origins
from serve.dashboard import Dashboard
from serve.deploy import deployed, describe, kept_token, to_arguments, warn_of_table
from serve.haproxy import FRONT, PORTS, haproxy_environment
from serve.keys import ValidKeys, read_keys
from serve.logs import PIPE, copied, make_pipe
from serve.run import HOST, check_host, find_port, keep_port
from serve.scaling import check_room


class ServeJob(ServeConfig):
    """Config of `medembed serve`."""

    host: str = Field(
        default=HOST,
        description="IPv4 address on which callers reach the server: of this machine, 0.0.0.0 for all; another than "
        "loopback only with keys. Plain HTTP: put TLS in front",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="HTTP port on host")
    prefix: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path before all routes, e.g. /embed for a proxy that passes it on: /embed/v1/embeddings",
    )
    dashboard_port: int = Field(
        default=8265, ge=1, le=65535, description="port of the private Ray's dashboard, which medembed promote needs"
    )
    start_timeout_s: float = Field(default=600, gt=0, description="seconds that the start may take")
    workspace: str = Field(
        default="workspace", description="local folder with the MLflow file when no server is named, and the token"
    )


def run(job: ServeJob) -> Summary:
    config = _checked(job)
    address = os.environ.get("RAY_ADDRESS")
    return _serve(job, config, address)


def _switches(job: ServeJob, scratch: str) -> Environment:
    """What a private Ray must know when it starts: the pipe of the log, and HAProxy.

    Nothing of HAProxy where auto finds none. Raises ConfigError where it was asked for.
    """
    return {PIPE: make_pipe(scratch), **_haproxy_switches(job, scratch)}


def _haproxy_switches(job: ServeJob, scratch: str) -> Environment:
    if job.ingress == "serve":
        return {}
    try:
        environment = haproxy_environment(scratch, job.limits.request_timeout_s)
    except ConfigError as error:
        if job.ingress == "haproxy":
            raise
        print(f"behind Serve's own proxy, several times slower: {str(error).removeprefix('ingress: ')}", flush=True)
        return {}
    ports = {variable: str(keep_port(port)) for variable, port in PORTS.items()}  # another server may have these
    front = {} if job.host == HOST else {FRONT: job.host}
    return environment | front | ports | {name: os.environ[name] for name in ports if name in os.environ}


def _serve(job: ServeJob, config: ServeConfig, address: str | None) -> Summary:
    user_config = resolve(config)
    arguments, started = to_arguments(config), time.monotonic()
    with _dashboard(job, address) as dashboard, deployed(
        arguments,
        host=job.host,
        port=job.port,
        prefix=job.prefix,
        start_timeout_s=job.start_timeout_s,
        dashboard=dashboard,
    ) as url:  # fmt: skip
        print(describe(url, user_config), flush=True)
        if warning := warn_of_table(config, user_config):
            print(warning, flush=True)
        _wait_for_ctrl_c()
    return {"lines": [f"served for {time.monotonic() - started:.0f} s, ended"]}


def _checked(job: ServeJob) -> ServeConfig:
    """The application's part of the config. Raises a MedEmbedError for what can be known before Ray starts."""
    given = job.model_dump(exclude_unset=True)
    own = {name: value for name, value in given.items() if name in ServeConfig.model_fields}
    has_keys = read_keys(job.keys) != ValidKeys()
    is_open = check_host(job.host, has_keys)
    check_origins(job.cors, has_keys)
    find_port(job.port, job.host)
    if any(one.startswith("models:/") for one in (job.model, *job.models.values())):
        place = RegistryConfig(workspace=job.workspace, tracking_uri=job.tracking_uri)
        own["tracking_uri"] = open_registry(place, on_cluster=is_submitted()).tracking_uri
    if not os.environ.get("RAY_ADDRESS"):
        find_port(job.dashboard_port)
        check_room(job.replicas, job.cpus_per_replica)
    config = ServeConfig.model_validate(own)
    if is_open:
        print(
            f"listens on {job.host}: other machines may ask, with a key, over plain HTTP; put TLS in front", flush=True
        )
    return config


@contextmanager
def _dashboard(job: ServeJob, address: str | None) -> Iterator[Dashboard]:
    """Connects to Ray, or starts a private one whose token lies in the workspace."""
    with ray_session(address, job.dashboard_port, partial(_switches, job)) as dashboard:
        if address:
            yield Dashboard(dashboard)
            return
        stream = sys.stdout if job.access_log == "stdout" else sys.stderr
        with kept_token(job.workspace, dashboard), copied(os.environ[PIPE], stream.buffer):
            yield Dashboard(dashboard)


def _wait_for_ctrl_c() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return


def main(argv: Sequence[str] | None = None) -> None:
    # Ray starts only when all that can be known before is checked.
    run_job(ServeJob, run, argv, ray="none")


if __name__ == "__main__":
    main()
