"""Serves an application for as long as a `with` block lasts, on a Ray of this process's own."""

import contextlib
import io
import ipaddress
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from medembed.errors import ConfigError, ServiceError

HOST = "127.0.0.1"


@contextmanager
def serving(arguments: dict[str, Any], port: int | None = None) -> Iterator[str]:
    """Yields the base URL of the application that `build(arguments)` makes; on a free port if none is given.

    Raises ServiceError if the port is in use or the application does not come up.
    """
    from ray import serve

    from serve.app import build

    chosen = find_port(port)
    application = build(arguments)
    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    serve.start(http_options={"host": HOST, "port": chosen}, logging_config={"enable_access_log": False})
    try:
        try:
            serve.run(application, name="medembed", route_prefix="/", logging_config={"enable_access_log": False})
        except RuntimeError as error:
            raise ServiceError(f"serving did not start: {str(error).splitlines()[0]}") from error
        yield f"http://{HOST}:{chosen}"
    finally:
        # Ray prints on standard output that the controller's last call died with it, as it should.
        with contextlib.redirect_stdout(io.StringIO()):
            serve.shutdown()


def check_host(host: str, has_keys: bool) -> bool:
    """Return whether other machines may reach this address. Raises ConfigError for one that they may without a key."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ConfigError(
            f"host: found {host!r}, expected an IPv4 address of this machine, or 0.0.0.0 for all of them."
        ) from None
    if address.is_loopback:
        return False
    if not has_keys:
        raise ConfigError(
            f"host: {host} is open to other machines, and this server has no keys; set keys.file or keys.variable, or "
            f"leave host at {HOST}."
        )
    return True


def find_port(port: int | None, host: str = HOST) -> int:
    """Return the port if it is free, or a free one for None. Raises ServiceError if it cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or 0))
        except OSError as error:
            raise ServiceError(
                f"port {port} on {host}: {error.strerror}; stop what listens there or choose another port or host."
            ) from None
        return int(probe.getsockname()[1])


def keep_port(port: int) -> int:
    """Return the port, or another one if it is taken; no other server gets it from here while this process lives.

    It stays bound, which keeps none from listening on it who reuses addresses, as servers do.
    """
    for wanted in (port, 0):
        with socket.socket() as strict, socket.socket() as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                strict.bind((HOST, wanted))  # fails also where another one keeps it
                chosen = int(strict.getsockname()[1])
                strict.close()
                kept.bind((HOST, chosen))
            except OSError:
                continue
            kept.detach()
            return chosen
    raise ServiceError(f"no port is free on {HOST}; stop what takes them.")
