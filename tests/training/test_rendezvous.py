"""Where a training's workers meet: in a folder of their own where they are on this machine
alone.
"""

import importlib
import stat
from pathlib import Path

import psutil
import pytest
import ray
import torch.distributed as dist

from medembed.training.run.rendezvous import LOOPBACK, make_folder, meet_in
from tests.nodes import free_port


def meet(folder: Path) -> tuple[set[str], list[str]]:
    """Addresses on which PyTorch's own rendezvous of one rank listens, and the files that it makes
    in this folder.
    """
    port = free_port()
    store, _, _ = next(dist.rendezvous(f"tcp://{LOOPBACK}:{port}", rank=0, world_size=1))
    store.set("key", "value")
    assert store.get("key") == b"value"
    own = [
        each
        for each in psutil.Process().net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    ]
    addresses = {each.laddr.ip for each in own if each.laddr.port == port}
    return addresses, [path.name.partition("-")[0] for path in folder.iterdir()]


def test_on_one_machine_the_store_is_a_file_and_listens_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    module = importlib.import_module("torch.distributed.rendezvous")
    monkeypatch.setattr(module, "TCPStore", module.TCPStore)
    assert meet(tmp_path) == ({"::"}, []), "PyTorch has a way of its own now: use it"
    meet_in(str(tmp_path))
    assert meet(tmp_path) == (set(), [LOOPBACK])


def test_workers_meet_in_a_closed_folder_unless_there_may_be_other_nodes(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: LOOPBACK)
    folder = Path(str(make_folder()))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.5")
    assert make_folder() is None
