"""Serve a model over HTTP until Ctrl-C; `medembed promote` swaps it without a pause."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pydantic import Field

from jobs.session import Summary, is_submitted, ray_session, run_job
from medembed.errors import ConfigError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.app import ServeConfig, resolve
from serve.dashboard import Dashboard
from serve.deploy import deployed, describe, kept_token, to_arguments
from serve.haproxy import PORTS, haproxy_environment
from serve.keys import read_keys
from serve.run import find_port, prefer_port
from serve.scaling import check_room

_HAPROXY_FOLDER = "MEDEMBED_HAPROXY_FOLDER"


class ServeJob(ServeConfig):
    """Config of `medembed serve`."""

    port: int = Field(default=8000, ge=1, le=65535, description="HTTP port, on 127.0.0.1")
    dashboard_port: int = Field(
        default=8265, ge=1, le=65535, description="port of the private Ray's dashboard, which medembed promote needs"
    )
    start_timeout_s: float = Field(default=600, gt=0, description="seconds that the start may take")
    workspace: str = Field(
        default="workspace", description="local folder with the MLflow file when no server is named, and the token"
    )


def run(job: ServeJob, arguments: Sequence[str] = ()) -> Summary:
    """`arguments` are those of the command: it starts anew where Ray must know of HAProxy before it is imported."""
    config, address = _checked(job), os.environ.get("RAY_ADDRESS")
    if job.ingress != "serve" and not address and _HAPROXY_FOLDER not in os.environ:
        _start_anew_for_haproxy(job, arguments)
    try:
        return _serve(job, config, address)
    finally:
        shutil.rmtree(os.environ.get(_HAPROXY_FOLDER, ""), ignore_errors=True)


def _start_anew_for_haproxy(job: ServeJob, arguments: Sequence[str]) -> None:
    """Becomes the same command with the environment that Ray Serve reads when it is imported, as it is by now.

    Returns where auto finds no HAProxy. Raises ConfigError where it was asked for.
    """
    folder = tempfile.mkdtemp(prefix="mh-", dir="/tmp")  # short: HAProxy's socket lies below it
    try:
        wanted = haproxy_environment(folder)
    except ConfigError as error:
        os.rmdir(folder)
        if job.ingress == "haproxy":
            raise
        print(f"behind Serve's own proxy, several times slower: {str(error).removeprefix('ingress: ')}", flush=True)
        return
    ports = {variable: str(prefer_port(port)) for variable, port in PORTS.items()}  # another server may have these
    environment = ports | os.environ | wanted | {_HAPROXY_FOLDER: folder}
    os.execve(sys.executable, [sys.executable, "-m", "jobs.serve", *arguments], environment)


def _serve(job: ServeJob, config: ServeConfig, address: str | None) -> Summary:
    user_config = resolve(config)
    arguments, started = to_arguments(config), time.monotonic()
    with _dashboard(job, address) as dashboard, deployed(
        arguments, port=job.port, timeout_s=job.start_timeout_s, dashboard=dashboard
    ) as url:  # fmt: skip
        print(describe(url, user_config), flush=True)
        _wait_for_ctrl_c()
    return {"lines": [f"served for {time.monotonic() - started:.0f} s, ended"]}


def _checked(job: ServeJob) -> ServeConfig:
    """The application's part of the config. Raises a MedEmbedError for what can be known before Ray starts."""
    given = job.model_dump(exclude_unset=True)
    own = {name: value for name, value in given.items() if name in ServeConfig.model_fields}
    find_port(job.port)
    if any(one.startswith("models:/") for one in (job.model, *job.models.values())):
        place = RegistryConfig(workspace=job.workspace, tracking_uri=job.tracking_uri)
        own["tracking_uri"] = open_registry(place, on_cluster=is_submitted()).tracking_uri
    if not os.environ.get("RAY_ADDRESS"):
        find_port(job.dashboard_port)
        check_room(job.replicas, job.cpus_per_replica)
    config = ServeConfig.model_validate(own)
    read_keys(config.keys)
    return config


@contextmanager
def _dashboard(job: ServeJob, address: str | None) -> Iterator[Dashboard]:
    """Connects to Ray, or starts a private one whose token lies in the workspace."""
    with ray_session(address, job.dashboard_port) as dashboard:
        if address:
            yield Dashboard(dashboard)
            return
        with kept_token(job.workspace, dashboard):
            yield Dashboard(dashboard)


def _wait_for_ctrl_c() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return


def main(argv: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if argv is None else list(argv)
    run_job(
        ServeJob, partial(run, arguments=given), given, ray="none"
    )  # Ray starts only when all that can be known before is checked


if __name__ == "__main__":
    main()
