"""Has a private Ray start without processes that nobody asks on a Ray of one machine: they cost
memory and CPU time. And its node and its dashboard start side by side: Ray would wait for the one
before it begins with the other.

Ray has no setting for them. What is replaced here, for as long as `ray.init` takes, was read in Ray
2.60: `Node.start_monitor` starts an autoscaler, which has no nodes to add. `Node.start_log_monitor`
starts a process that reads what workers print, for a driver that was told not to show it. The
dashboard loads a process for each of ten modules; deployments need two of them.
`Node.start_head_processes` calls `start_api_server`, which waits for the dashboard, and after it
comes `start_ray_processes`, which starts the node and waits for nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPLACED = ("start_monitor", "start_log_monitor", "start_api_server", "start_ray_processes")
_MODULES = ("ServeHead", "JobHead")  # deployments, and the version that a client asks for first


@contextmanager
def few_processes() -> Iterator[None]:
    """Leave these processes out of a Ray that is started meanwhile, and start its node before its
    dashboard.
    """
    from ray._private import services
    from ray._private.node import Node

    own = {name: getattr(Node, name) for name in _REPLACED}
    own_start = services.start_ray_process
    dashboards: list[dict[str, Any]] = []

    def start(command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
        return own_start(
            _with_few_modules(command, process_type), process_type, *arguments, **options
        )

    def start_both(node: Any) -> None:
        # In this thread, as the kernel ends the dashboard with the thread that started it.
        own["start_ray_processes"](node)
        for options in dashboards:
            own["start_api_server"](node, **options)

    Node.start_monitor = Node.start_log_monitor = lambda node: None
    Node.start_api_server = lambda node, **options: dashboards.append(options)
    Node.start_ray_processes = start_both
    services.start_ray_process = start
    try:
        yield
    finally:
        for name, method in own.items():
            setattr(Node, name, method)
        services.start_ray_process = own_start


def _with_few_modules(command: list[str], process_type: str) -> list[str]:
    """The dashboard's command with the modules that deployments need; any other as it is."""
    is_whole = not any(argument.startswith("--modules-to-load") for argument in command)
    if process_type != "dashboard" or not is_whole:
        return command
    return [*command, f"--modules-to-load={','.join(_MODULES)}"]
