"""Let a training's workers meet in a file of their own where they all are on this machine.

PyTorch's store listens on all addresses and asks for no token: who reaches it reads and changes by
what addresses the workers find each other. Neither PyTorch 2.13 nor Ray Train 2.60 has a setting
for that, so this uses `_TorchBackend` of Ray Train and the name `TCPStore` in PyTorch's
torch.distributed.rendezvous; tests/training/test_rendezvous.py fails when one moves. GPUs' NCCL and
gloo have a setting for theirs: NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME.
"""

import importlib
import shutil
from dataclasses import dataclass
from functools import partial
from tempfile import mkdtemp
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

LOOPBACK = "127.0.0.1"


class _Backend(_TorchBackend):
    folder: str | None = None

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        self.folder = worker_group.execute_single(0, make_folder)
        if self.folder is not None:
            worker_group.execute(meet_in, self.folder)
        super().on_start(worker_group, backend_config)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        super().on_shutdown(worker_group, backend_config)
        if self.folder is not None:  # it is on this machine, too
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Rendezvous(TorchConfig):
    """Ray Train's set-up of PyTorch; on one machine no other user reaches its store."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


def make_folder() -> str | None:
    """Make a folder that this user alone enters; None if there may be other nodes."""
    if ray.util.get_node_ip_address() != LOOPBACK:
        return None
    return mkdtemp(prefix="medembed-store-")


def meet_in(folder: str) -> None:
    """Make this process use `make_store` for its store."""
    # Not `from torch.distributed import rendezvous`: that is a function of the same name.
    module = importlib.import_module("torch.distributed.rendezvous")
    module.TCPStore = partial(make_store, folder)  # type: ignore[attr-defined]  # imported there, not exported


def make_store(folder: str, host_name: str, port: int, *, world_size: int, **_: Any) -> Any:
    """Return PyTorch's FileStore in this folder, in the place of its TCPStore at this address."""
    from torch.distributed import FileStore

    return FileStore(f"{folder}/{host_name}-{port}", world_size)
