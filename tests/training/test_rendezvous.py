"""Where a training's workers meet: on loopback where they look for it there."""

import importlib

import psutil
import pytest
import torch.distributed as dist

from medembed.training.rendezvous import stay_on_loopback
from tests.nodes import free_port


def addresses_of(port: int) -> set[str]:
    own = [each for each in psutil.Process().net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return {each.laddr.ip for each in own if each.laddr.port == port}


def meet(host: str, port: int) -> set[str]:
    """Addresses on which PyTorch's own rendezvous of one rank listens; its store works."""
    store, _, _ = next(dist.rendezvous(f"tcp://{host}:{port}", rank=0, world_size=1))
    store.set("key", "value")
    assert store.get("key") == b"value"
    return addresses_of(port)


def test_the_store_listens_on_loopback_alone_if_workers_look_for_it_there(monkeypatch: pytest.MonkeyPatch):
    module = importlib.import_module("torch.distributed.rendezvous")
    monkeypatch.setattr(module, "TCPStore", module.TCPStore)
    assert meet("127.0.0.1", free_port()) == {"::"}, "PyTorch has a way of its own now: use it"
    stay_on_loopback()
    assert meet("127.0.0.1", free_port()) == {"127.0.0.1"}
    assert meet("localhost", free_port()) == {"::"}, "a name may be another machine's"
