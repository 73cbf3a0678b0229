"""The port by which Serve's processes talk to a replica, on this machine alone where Ray is.

Ray Serve 2.60 opens it on all addresses, whatever the node's own address is, and has no setting for
that. Who may talk to it is a matter of Ray's token.
"""

from typing import Any

LOOPBACK = "127.0.0.1"


def stay_on_loopback() -> None:
    """In a replica's constructor, after which Serve opens the port: on a node that is 127.0.0.1 it
    listens there.
    """
    import ray
    from ray._common.tls_utils import add_port_to_grpc_server
    from ray.serve._private import replica

    def add_port(server: Any, address: str) -> int:
        port: int = add_port_to_grpc_server(server, address.replace("[::]", LOOPBACK))
        return port

    if ray.util.get_node_ip_address() == LOOPBACK:
        replica.add_port_to_grpc_server = add_port
