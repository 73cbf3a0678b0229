"""Private parts of Ray Serve, for which Ray 2.60 has no public way.

Each function says why it is needed. `tests/serve/test_ray_internals.py` fails when one of these
parts moves. (What Ray writes for HAProxy is changed in `serve.operate.haproxy_config`.)
"""

from typing import Any

LOOPBACK = "127.0.0.1"


def stay_on_loopback() -> None:
    """Have this replica's gRPC port listen on 127.0.0.1, if that is the address of its node.

    Serve opens the port after a replica's constructor, on all addresses whatever the node's own is,
    and has no setting for that. Who may talk to it is a matter of Ray's token.
    """
    import ray
    from ray._common.tls_utils import add_port_to_grpc_server
    from ray.serve._private import replica

    def add_port(server: Any, address: str) -> int:
        port: int = add_port_to_grpc_server(server, address.replace("[::]", LOOPBACK))
        return port

    if ray.util.get_node_ip_address() == LOOPBACK:
        replica.add_port_to_grpc_server = add_port


def find_http_host() -> str | None:
    """Return the address on which Serve takes HTTP; None if it does not run here.

    `serve.status()` does not tell it, and a replica cannot ask the dashboard.
    """
    import ray
    from ray.serve.context import _get_global_client

    if not ray.is_initialized():
        return None
    client = _get_global_client(raise_if_no_controller_running=False)
    return None if client is None else str(client.http_config.host)


def has_controller() -> bool:
    """Return whether Serve's controller is there, which `serve.start` makes before any proxy.

    An application can be deployed from then on, seconds before the proxies listen.
    """
    import ray
    from ray.serve.context import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        ray.get_actor(SERVE_CONTROLLER_NAME, SERVE_NAMESPACE)
    except ValueError:  # no such actor yet
        return False
    return True
