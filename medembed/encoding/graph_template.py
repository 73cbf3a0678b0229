"""A converted model without its weights: the next model of the same shape is filled in, which takes
a tenth of a second, where converting it takes seconds.

A server that swaps to the next version of its model meets the same shape each time.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed.encoding.openvino_backend import import_openvino

_HASHED = 4096  # numbers of a tensor, by which it is told from the others


@dataclass(frozen=True)
class GraphTemplate:
    """A graph whose last inputs stand for weights, `names` being those of the model's tensors."""

    graph: Any
    names: list[str]

    def fill(self, model: Any) -> Any:
        """Return the graph of a loaded model that has the `shape_of` the one it was made of."""
        openvino = import_openvino()
        graph = self.graph.clone()
        tensors = _tensors(model)
        inputs = graph.get_parameters()
        first = len(inputs) - len(self.names)
        for place, name in zip(inputs[first:], self.names, strict=True):
            values = tensors[name].numpy().reshape(tuple(place.get_output_shape(0)))
            _replace(place, openvino.opset13.constant(values, shared_memory=True))
        return openvino.Model(graph.get_results(), inputs[:first])


def shape_of(model: Any) -> str:
    """Return what two models share that differ in nothing but their weights."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in _tensors(model).items()]
    return f"{model} {shapes}"


def make_template(graph: Any, model: Any) -> GraphTemplate | None:
    """Return the template of a graph that was converted of this model.

    None if it has numbers that are no tensor of the model, or of two alike: which of them another
    model would put there cannot be told.
    """
    openvino = import_openvino()
    owners: dict[bytes, list[str]] = {}
    for name, tensor in _tensors(model).items():
        owners.setdefault(_identify(tensor.numpy()), []).append(name)
    copy = graph.clone()
    names: list[str] = []
    places: list[Any] = []
    for node in copy.get_ordered_ops():
        # single numbers are settings, whole ones are positions and shapes
        if node.get_type_name() != "Constant" or node.data.size <= 1 or node.data.dtype.kind != "f":
            continue
        alike = owners.get(_identify(node.data), [])
        if len(alike) != 1:
            return None
        names += alike
        places.append(openvino.opset13.parameter(node.get_output_shape(0), node.data.dtype))
        _replace(node, places[-1])
    inputs = [*copy.get_parameters(), *places]
    return GraphTemplate(openvino.Model(copy.get_results(), inputs), names)


def _identify(values: Any) -> bytes:
    """Return a hash of an array's size and of numbers all over it, whatever its shape.

    Every number of a table of words would take half a second. Whoever fills a template compares the
    vectors.
    """
    flat = values.reshape(-1)
    numbers = np.ascontiguousarray(flat[:: max(1, flat.size // _HASHED)])
    return hashlib.sha256(f"{flat.size}\n".encode() + numbers.tobytes()).digest()


def _tensors(model: Any) -> dict[str, Any]:
    """Return a model's parameters and buffers of float32 by name."""
    import torch

    tensors: dict[str, Any] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.dtype == torch.float32:  # NumPy has no bfloat16
            tensors[name] = tensor.detach()
    return tensors


def _replace(node: Any, other: Any) -> None:
    """Have all that reads a node read the other one."""
    for reader in list(node.output(0).get_target_inputs()):
        reader.replace_source_output(other.output(0))
