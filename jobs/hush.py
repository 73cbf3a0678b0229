"""Keeps what Ray prints of its own accord from the screen: "(raylet) A worker died ..." and the
like.

Ray's driver has a thread that prints such messages of its processes on standard output; no setting
stops it (read in Ray 2.60, `ray._private.worker.listen_error_messages`). What goes wrong for a job
is raised there anyway.
"""

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)


def hush_raylet() -> None:
    """Have that thread write to this module's log, at debug, where it would print."""
    from ray._private import worker

    worker.print_to_stdstream = _log


def _log(data: Mapping[str, Any], **_: Any) -> None:
    logger.debug("Ray: %s", " ".join(data["lines"]))
