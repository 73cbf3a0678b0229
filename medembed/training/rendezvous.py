"""Where a training's workers meet, on this machine alone where they all are on it.

PyTorch's store listens on all addresses and asks for no token, so another user could write into it. Neither PyTorch
2.13 nor Ray Train 2.60 has a setting for the address. GPUs' NCCL and gloo have one: NCCL_SOCKET_IFNAME and
GLOO_SOCKET_IFNAME.
"""

import importlib
import socket
from dataclasses import dataclass
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

LOOPBACK = "127.0.0.1"


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(stay_on_loopback)
        super().on_start(worker_group, backend_config)


@dataclass
class Rendezvous(TorchConfig):
    """Ray Train's set-up of PyTorch, with a store that listens on loopback if the workers look for it there."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


def stay_on_loopback() -> None:
    """Has this process make its store by `make_store`."""
    # Not `from torch.distributed import rendezvous`: that is a function of the same name.
    importlib.import_module("torch.distributed.rendezvous").TCPStore = make_store  # type: ignore[attr-defined]


def make_store(host_name: str, port: int, *, is_master: bool = False, **options: Any) -> Any:
    """PyTorch's TCPStore; one that listens does so on loopback if `host_name` is."""
    from torch.distributed import TCPStore

    if is_master and host_name == LOOPBACK:
        options["master_listen_fd"] = socket.create_server((host_name, port)).detach()
    return TCPStore(host_name=host_name, port=port, is_master=is_master, **options)
