"""Has a private Ray start without processes that nobody asks on a Ray of one machine: they cost memory and CPU time.

Ray has no setting for them. What is replaced here, for as long as `ray.init` takes, was read in Ray 2.60:
`Node.start_monitor` starts an autoscaler, which has no nodes to add. `Node.start_log_monitor` starts a process that
reads what workers print, for a driver that was told not to show it. The dashboard loads a process for each of ten
modules; deployments need two of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MODULES = ("ServeHead", "JobHead")  # deployments, and the version that a client asks for first


@contextmanager
def few_processes() -> Iterator[None]:
    """Leave these processes out of a Ray that is started meanwhile."""
    from ray._private import services
    from ray._private.node import Node

    own = Node.start_monitor, Node.start_log_monitor, services.start_ray_process

    def start(command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
        return own[2](_with_few_modules(command, process_type), process_type, *arguments, **options)

    Node.start_monitor = Node.start_log_monitor = lambda node: None
    services.start_ray_process = start
    try:
        yield
    finally:
        Node.start_monitor, Node.start_log_monitor, services.start_ray_process = own


def _with_few_modules(command: list[str], process_type: str) -> list[str]:
    """The dashboard's command with the modules that deployments need; any other as it is."""
    is_whole = not any(argument.startswith("--modules-to-load") for argument in command)
    if process_type != "dashboard" or not is_whole:
        return command
    return [*command, f"--modules-to-load={','.join(_MODULES)}"]
