"""Serve an application for as long as a `with` block lasts, on a Ray of this process's own."""

import contextlib
import io
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from medembed.errors import ServiceError, first_line
from serve.ray_internals import LOOPBACK

QUIET = {"enable_access_log": False}  # of Serve's own log: the server has one of its own


@contextmanager
def serving(arguments: dict[str, Any], port: int | None = None) -> Iterator[str]:
    """Yield the base URL of the application that `build(arguments)` makes.

    It is on a free port if none is given. Raises ServiceError if the port is in use or the
    application does not come up.
    """
    from ray import serve

    from serve.app import build

    chosen = find_port(port)
    application = build(arguments)
    with quiet_serve():
        serve.start(http_options={"host": LOOPBACK, "port": chosen}, logging_config=QUIET)
        try:
            serve.run(application, name="medembed", route_prefix="/", logging_config=QUIET)
        except RuntimeError as error:
            raise ServiceError(
                "serving did not start: {reason}", reason=first_line(error)
            ) from error
        yield f"http://{LOOPBACK}:{chosen}"


@contextmanager
def quiet_serve() -> Iterator[None]:
    """Log no more of Ray than its errors, and end Serve when the block ends."""
    from ray import serve

    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        # Ray prints on standard output that the controller's last call died with it, as it should.
        with contextlib.redirect_stdout(io.StringIO()):
            serve.shutdown()


def find_port(port: int | None, host: str = LOOPBACK) -> int:
    """Return the port, or a free one for None. Raises ServiceError if it cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or 0))
        except OSError as error:
            raise ServiceError(
                "port {port} on {host}: {reason}; stop what listens there or choose another "
                "port or host.",
                port=port,
                host=host,
                reason=error.strerror,
            ) from None
        return int(probe.getsockname()[1])
