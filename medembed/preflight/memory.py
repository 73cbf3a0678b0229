"""Measure the most memory that this process has taken so far."""

import resource
import sys
from typing import Any, NamedTuple


class PeakMemory(NamedTuple):
    """Bytes at the peak, and those that the GPU has; 0 where it is this process."""

    memory_bytes: int
    capacity_bytes: int


def peak_memory(device: Any) -> PeakMemory:
    """Measure a GPU's memory, or that of this process."""
    if device.type == "cuda":
        import torch

        capacity = torch.cuda.get_device_properties(device).total_memory
        return PeakMemory(int(torch.cuda.max_memory_allocated(device)), int(capacity))
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return PeakMemory(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, 0)
