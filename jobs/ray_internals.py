"""Private parts of Ray that jobs use, for which Ray 2.60 has no public way.

`tests/jobs/test_ray_internals.py` fails when one of these parts moves.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

REPLACED = ("start_monitor", "start_log_monitor", "start_api_server", "start_ray_processes")
_MODULES = ("ServeHead", "JobHead")  # deployments, and the version that a client asks for first


# A call to a head that changes nothing.
HEAD_CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"


def find_local_head() -> str | None:
    """Return the address of the Ray on this machine that `ray.init("auto")` means, dead or not."""
    from ray._private.services import get_ray_address_from_environment

    try:
        return str(get_ray_address_from_environment("auto", None))
    except ConnectionError:
        return None


def hush_raylet() -> None:
    """Log, at debug, what Ray prints on standard output: "(raylet) A worker died ..." and the like.

    A thread of Ray's driver prints such messages of its processes. What goes wrong for a job is
    raised there anyway.
    """
    from ray._private import worker

    worker.print_to_stdstream = _log


def _log(data: Mapping[str, Any], **_: Any) -> None:
    logger.debug("Ray: %s", " ".join(data["lines"]))


@contextmanager
def few_processes() -> Iterator[None]:
    """Start a Ray meanwhile without processes that one machine has no use for.

    They cost memory and CPU time: an autoscaler, which has no nodes to add (`start_monitor`); a
    process that reads what workers print, for a driver that does not show it
    (`start_log_monitor`); and one for each of ten modules of the dashboard, of which deployments
    need two. The node also starts before the dashboard is waited for, where Ray would start it
    afterwards.
    """
    from ray._private import services
    from ray._private.node import Node

    own = {name: getattr(Node, name) for name in REPLACED}
    own_start = services.start_ray_process
    dashboards: list[dict[str, Any]] = []

    def start(command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
        is_whole = not any(argument.startswith("--modules-to-load") for argument in command)
        if process_type == "dashboard" and is_whole:
            command = [*command, f"--modules-to-load={','.join(_MODULES)}"]
        return own_start(command, process_type, *arguments, **options)

    def start_both(node: Any) -> None:
        # In this thread, as the kernel ends the dashboard with the thread that started it.
        own["start_ray_processes"](node)
        for options in dashboards:
            own["start_api_server"](node, **options)

    Node.start_monitor = lambda node: None
    Node.start_log_monitor = lambda node: None
    Node.start_api_server = lambda node, **options: dashboards.append(options)
    Node.start_ray_processes = start_both
    services.start_ray_process = start
    try:
        yield
    finally:
        for name, method in own.items():
            setattr(Node, name, method)
        services.start_ray_process = own_start
