"""A converted model without its weights: the next model of the same shape is filled in, which takes
a tenth of a second, where converting it takes seconds.

A server that swaps to the next version of its model meets the same shape each time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed.encoding.openvino_backend import import_openvino


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
            weights = openvino.opset13.constant(tensors[name].numpy(), shared_memory=True)
            _replace(place, weights)
        return openvino.Model(graph.get_results(), inputs[:first])


def shape_of(model: Any) -> str:
    """Return what two models share that differ in nothing but their weights."""
    tensors = [(name, tensor.shape, tensor.dtype) for name, tensor in _tensors(model).items()]
    return f"{model} {tensors}"


def make_template(graph: Any, model: Any) -> GraphTemplate | None:
    """Return the template of a graph that was converted of this model, whose memory it shares.

    None if it has numbers that may come of the weights, and are not the weights themselves.
    """
    openvino = import_openvino()
    owners = {tensor.data_ptr(): name for name, tensor in _tensors(model).items()}
    copy = graph.clone()
    names: list[str] = []
    places: list[Any] = []
    for node in copy.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.data.size <= 1:
            continue
        name = owners.get(node.data.ctypes.data)
        if name is None and np.issubdtype(node.data.dtype, np.floating):
            return None
        if name is not None:
            places.append(openvino.opset13.parameter(node.get_output_shape(0), node.data.dtype))
            names.append(name)
            _replace(node, places[-1])
    return GraphTemplate(
        openvino.Model(copy.get_results(), [*copy.get_parameters(), *places]), names
    )


def _tensors(model: Any) -> dict[str, Any]:
    """Return a model's parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _replace(node: Any, other: Any) -> None:
    """Have all that reads a node read the other one."""
    for reader in list(node.output(0).get_target_inputs()):
        reader.replace_source_output(other.output(0))
