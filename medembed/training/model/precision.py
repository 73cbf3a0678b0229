"""Choose the number type of a run's multiplications: only what the device computes natively."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medembed.errors import TrainingError

# A CPU with either multiplies bfloat16 by itself; every other one converts each number, 4 to 400
# times slower.
_CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Device:
    """A worker's "cpu" or "cuda", and the types narrower than float32 that it has natively."""

    kind: str
    native: frozenset[str]


def find_device(use_gpu: bool) -> Device:
    """Return this process's device; TrainingError if a GPU was asked for and torch sees none."""
    import torch

    if not use_gpu:
        return Device("cpu", native_cpu_types(torch.cpu.get_capabilities()))
    if not torch.cuda.is_available():
        raise TrainingError(
            "training.use_gpu: found no CUDA device in this worker; install a torch with CUDA "
            "there, or leave it out."
        )
    # Without the switch torch says yes to emulation as well.
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Device("cuda", frozenset({"float16", "bfloat16"} if has_bfloat16 else {"float16"}))


def native_cpu_types(capabilities: Mapping[str, Any]) -> frozenset[str]:
    """Return the types of a CPU with these `torch.cpu.get_capabilities()`.

    float16 never: its gradients need scaling.
    """
    return frozenset({"bfloat16"} if any(capabilities.get(name) for name in _CPU_BFLOAT16) else ())


def choose_precision(asked: str, device: Device) -> str:
    """Return float32, bfloat16 or float16.

    `auto` is float32 on every CPU, so that a run has the same numbers on all. Raises TrainingError
    if the device would only emulate what was asked.
    """
    if asked == "auto":
        order = ("bfloat16", "float16") if device.kind == "cuda" else ()
        return next((name for name in order if name in device.native), "float32")
    if asked != "float32" and asked not in device.native:
        raise TrainingError(
            "training.precision: found {asked}, but this {kind} device computes natively "
            "only {native}; choose one of these, or auto.",
            asked=asked,
            kind=device.kind,
            native=", ".join(["float32", *sorted(device.native)]),
        )
    return asked


def precision_arguments(asked: str, use_gpu: bool) -> dict[str, bool]:
    """Return the trainer's arguments for the asked precision; raise as `choose_precision` does."""
    chosen = choose_precision(asked, find_device(use_gpu))
    return {"bf16": chosen == "bfloat16", "fp16": chosen == "float16"}
