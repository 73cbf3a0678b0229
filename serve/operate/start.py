"""Check a server's config before Ray starts, and say what its own Ray must know at the start."""

import os
import re
from collections.abc import Mapping

from pydantic import Field

from medembed.errors import ConfigError
from medembed.language import tr
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from serve.config import ServeConfig
from serve.http.keys import read_keys
from serve.logs import PIPE, make_pipe
from serve.operate.haproxy import ANYWHERE, IMPATIENT, PORTS, haproxy_environment
from serve.operate.port_lender import LENDER, PortLender
from serve.operate.run import find_port
from serve.operate.safety import check_host, check_origins
from serve.operate.scaling import check_room
from serve.ray_internals import LOOPBACK


class StartConfig(ServeConfig):
    """What is served, where, and how long a start may take."""

    host: str = Field(
        default=LOOPBACK,
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


def check_start(job: StartConfig, *, on_cluster: bool) -> ServeConfig:
    """Return the application's part of the config.

    Raises a MedEmbedError for what can be known before Ray starts.
    """
    own = job.model_dump(exclude_unset=True, include=set(ServeConfig.model_fields))
    has_keys = read_keys(job.keys).are_required
    is_open = check_host(job.host, has_keys, job.without_keys)
    check_origins(job.cors, has_keys)
    find_port(job.port, job.host)
    if job.model.startswith("models:/") or (job.rerank.model or "").startswith("models:/"):
        registry = RegistryConfig(workspace=job.workspace, tracking_uri=job.tracking_uri)
        own["tracking_uri"] = open_registry(registry, on_cluster=on_cluster).tracking_uri
    if not os.environ.get("RAY_ADDRESS"):
        find_port(job.dashboard_port)
        check_room(job, job.rerank if job.rerank.model else None)
    if is_open:
        asked = tr("with a key") if has_keys else tr("without a key")
        print(
            tr(
                "listens on {host}: other machines may ask, {asked}, over plain HTTP; put TLS in "
                "front",
                host=job.host,
                asked=asked,
            ),
            flush=True,
        )
    return ServeConfig.model_validate(own)


def ray_switches(job: StartConfig, lender: PortLender, scratch: str) -> Mapping[str, str]:
    """Return what a private Ray must know when it starts: its workers' priority, the log, HAProxy.

    Raises ConfigError where HAProxy was asked for and is not there.
    """
    # Ray's own is 15: on a busy machine replicas and HAProxy, which are workers to it, would start
    # and answer last.
    own = {"RAY_worker_niceness": "0", PIPE: make_pipe(scratch), **IMPATIENT}
    if job.ingress == "serve":
        return own
    try:
        haproxy = haproxy_environment(scratch, job.limits.request_timeout_s)
    except ConfigError as error:
        if job.ingress == "haproxy":
            raise
        reason = re.sub(r"^ingress\s*: ", "", str(error))  # in French a space stands before ":"
        print(
            tr("behind Serve's own proxy, several times slower: {reason}", reason=reason),
            flush=True,
        )
        return own
    hosts = [ANYWHERE] if job.host == ANYWHERE else sorted({LOOPBACK, job.host})
    switches = own | haproxy | {LENDER: lender.open(scratch, hosts, job.port)}
    # Ray's own choice is the same for all servers of a machine: of two that start together, one
    # would find it taken.
    for variable in PORTS:
        switches[variable] = os.environ.get(variable) or str(find_port(None))
    return switches
