"""The faster backend for a model that answers already, and unused memory back to the system."""

import ctypes
import logging
import threading

from medembed.encoding.encoder import Encoder

logger = logging.getLogger(__name__)
# converting takes memory, and changes this process's logging meanwhile
_one_at_a_time = threading.Lock()


def settle_later(encoder: Encoder) -> threading.Thread:
    """Start to look for the fastest backend: a server answers some four seconds sooner than if it
    looked first.
    """
    thread = threading.Thread(target=_settle, args=(encoder,), daemon=True)
    thread.start()
    return thread


def _settle(encoder: Encoder) -> None:
    with _one_at_a_time:
        try:
            encoder.settle()
        except Exception as error:  # of any type: it answers as it is
            logger.warning(
                "the model stays on plain torch: %s: %s",
                type(error).__name__,
                str(error).partition("\n")[0],
            )
        give_back_memory()


def give_back_memory() -> None:
    """Return to the system what this process has freed; a C library other than glibc decides for
    itself.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
