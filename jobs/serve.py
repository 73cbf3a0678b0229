"""Serve a model over HTTP until Ctrl-C; `medembed promote` swaps it without a pause."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

from pydantic import Field

from jobs.private_ray import Environment
from jobs.session import Summary, is_submitted, ray_session, run_job
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.app import ServeConfig, resolve, resolve_ranker
from serve.http.cors import check_origins
from serve.http.keys import ValidKeys, read_keys
from serve.logs import PIPE, copied, make_pipe
from serve.operate.dashboard import Dashboard
from serve.operate.deploy import deployed, describe, kept_token, to_arguments, warn_of_table
from serve.operate.door import DOOR, Door
from serve.operate.haproxy import ANYWHERE, IMPATIENT, PORTS, haproxy_environment
from serve.operate.host import HOST, check_host
from serve.operate.run import find_port
from serve.operate.scaling import check_room


class ServeJob(ServeConfig):
    """Config of `medembed serve`."""

    host: str = Field(
        default=HOST,
        description="IPv4 address on which callers reach the server: of this machine, 0.0.0.0 "
        "for all; another than loopback only with keys, or without_keys. Plain HTTP: put TLS in "
        "front",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="HTTP port on host")
    prefix: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path before all routes, e.g. /embed for a proxy that passes it on: "
        "/embed/v1/embeddings",
    )
    dashboard_port: int = Field(
        default=8265,
        ge=1,
        le=65535,
        description="port of the private Ray's dashboard, which medembed promote needs",
    )
    start_timeout_s: float = Field(default=600, gt=0, description="seconds that the start may take")
    workspace: str = Field(
        default="workspace",
        description="local folder with the MLflow file when no server is named, and the token",
    )


def run(job: ServeJob) -> Summary:
    config = _checked(job)
    address = os.environ.get("RAY_ADDRESS")
    return _serve(job, config, address)


def _switches(job: ServeJob, door: Door, scratch: str) -> Environment:
    """What a private Ray must know when it starts: the priority of its workers, the pipe of the
    log, whom to wait for how long, and HAProxy, for which this opens the door.

    Nothing of HAProxy where auto finds none. Raises ConfigError where it was asked for.
    """
    # Ray's own is 15: on a busy machine replicas and HAProxy, which are workers to it, would start
    # and answer last.
    own = {"RAY_worker_niceness": "0", PIPE: make_pipe(scratch)}
    return {**own, **IMPATIENT, **_haproxy_switches(job, door, scratch)}


def _haproxy_switches(job: ServeJob, door: Door, scratch: str) -> Environment:
    if job.ingress == "serve":
        return {}
    try:
        environment = haproxy_environment(scratch, job.limits.request_timeout_s)
    except ConfigError as error:
        if job.ingress == "haproxy":
            raise
        print(
            (
                "behind Serve's own proxy, several times slower: "
                f"{str(error).removeprefix('ingress: ')}"
            ),
            flush=True,
        )
        return {}
    hosts = [ANYWHERE] if job.host == ANYWHERE else sorted({HOST, job.host})
    front = {DOOR: door.open(scratch, hosts, job.port)}
    # Ray's own choice is the same for all servers of a machine: of two that start together, one
    # would find it taken.
    ports = {variable: os.environ.get(variable) or str(find_port(None)) for variable in PORTS}
    return environment | front | ports


def _serve(job: ServeJob, config: ServeConfig, address: str | None) -> Summary:
    user_config = resolve(config)
    ranker = resolve_ranker(config)
    arguments, started = to_arguments(config), time.monotonic()
    door = Door()
    with (
        _dashboard(job, address, door) as dashboard,
        deployed(
            arguments,
            host=job.host,
            port=job.port,
            prefix=job.prefix,
            start_timeout_s=job.start_timeout_s,
            dashboard=dashboard,
        ) as url,
        closing(door),
    ):
        print(describe(url, user_config, ranker), flush=True)
        if warning := warn_of_table(config, user_config):
            print(warning, flush=True)
        _wait_for_ctrl_c()
    return {"lines": [f"served for {time.monotonic() - started:.0f} s, ended"]}


def _checked(job: ServeJob) -> ServeConfig:
    """The application's part of the config. Raises a MedEmbedError for what can be known before Ray
    starts.
    """
    given = job.model_dump(exclude_unset=True)
    own = {name: value for name, value in given.items() if name in ServeConfig.model_fields}
    has_keys = read_keys(job.keys) != ValidKeys()
    is_open = check_host(job.host, has_keys, job.without_keys)
    check_origins(job.cors, has_keys)
    find_port(job.port, job.host)
    if any(
        one.startswith("models:/")
        for one in (job.model, *job.models.values(), job.rerank.model or "")
    ):
        place = RegistryConfig(workspace=job.workspace, tracking_uri=job.tracking_uri)
        own["tracking_uri"] = open_registry(place, on_cluster=is_submitted()).tracking_uri
    if not os.environ.get("RAY_ADDRESS"):
        find_port(job.dashboard_port)
        check_room(job, job.rerank if job.rerank.model else None)
    config = ServeConfig.model_validate(own)
    if is_open:
        asked = "with a key" if has_keys else "without a key"
        print(
            (
                f"listens on {job.host}: other machines may ask, {asked}, over plain HTTP; put "
                "TLS in front"
            ),
            flush=True,
        )
    return config


@contextmanager
def _dashboard(job: ServeJob, address: str | None, door: Door) -> Iterator[Dashboard]:
    """Connects to Ray, or starts a private one whose token lies in the workspace."""
    with ray_session(address, job.dashboard_port, partial(_switches, job, door)) as dashboard:
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
