"""The private parts of Ray Serve that a server uses are where they were in Ray 2.60."""

import inspect
from typing import Any

import pytest

from serve.ray_internals import find_http_host, has_controller, stay_on_loopback


class Server:
    """A gRPC server keeps the addresses on which it was told to listen."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def add_insecure_port(self, address: str) -> int:
        self.addresses.append(address)
        return 1


@pytest.mark.parametrize(("node", "host"), [("127.0.0.1", "127.0.0.1"), ("10.0.0.5", "[::]")])
def test_a_replicas_port_is_on_loopback_where_its_node_is(
    node: str, host: str, monkeypatch: pytest.MonkeyPatch
):
    from ray.serve._private import replica

    own: Any = replica.add_port_to_grpc_server
    monkeypatch.setattr(replica, "add_port_to_grpc_server", own)  # comes back after the test
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: node)
    stay_on_loopback()
    server = Server()
    replica.add_port_to_grpc_server(server, "[::]:0")
    assert server.addresses == [f"{host}:0"]
    # This is how a replica opens its port.
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_serve_tells_its_address_and_its_controller_is_an_actor_that_can_be_named(url: str):
    assert find_http_host() == "127.0.0.1"
    assert has_controller()


def test_without_ray_there_is_no_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert find_http_host() is None
