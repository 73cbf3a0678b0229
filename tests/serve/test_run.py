"""Ports of servers that start at the same time."""

import socket

from serve.run import HOST, find_port, keep_port


def test_two_servers_that_start_at_once_get_different_ports_on_which_both_can_listen():
    preferred = find_port(None)
    first = keep_port(preferred)
    second = keep_port(preferred)
    assert first == preferred
    assert second != preferred
    for port in (first, second):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((HOST, port))
            server.listen()
            assert keep_port(port) != port
