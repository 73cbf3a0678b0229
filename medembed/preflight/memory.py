"""Measure the most memory that this process has taken so far."""

import resource
import sys
from typing import Any


def peak_memory(device: Any) -> tuple[int, int]:
    """Return the bytes at the peak and those that the GPU has, 0 where it is this process."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device)), int(
            torch.cuda.get_device_properties(device).total_memory
        )
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, 0
