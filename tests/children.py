"""Processes that tests and benchmarks start, which die with them, also by Ctrl-C or kill -9."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # of prctl(2)


def die_with_parent() -> None:
    """As `preexec_fn` of a Popen in the main thread: have the kernel send SIGTERM when this process is
    gone.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
