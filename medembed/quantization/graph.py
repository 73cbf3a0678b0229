"""Put bytes into a model's OpenVINO graph: into its linear layers and its table of words.

A FakeQuantize in front of what a layer reads, and weights as codes times steps, are what OpenVINO's
CPU plugin turns into a multiplication of bytes.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from medembed.encoding.batching import Batch
from medembed.encoding.int8_graph import Int8Graph
from medembed.encoding.openvino_backend import import_openvino
from medembed.errors import ConfigError
from medembed.quantization.scales import (
    STEPS,
    CodedLinear,
    Floats,
    Seen,
    code_linear,
    code_rows,
    scale_input,
)

_OF_TOKENS = 3  # dimensions of what has a row for each token: behind the pooling there are two
_ROWS_OF_BATCH = 16  # that are kept of what a layer reads
_FEWEST_NUMBERS = 1_000_000  # of a table of words whose rows are worth coding


@dataclass(frozen=True)
class SharedInput:
    """What one or several linear layers read, and the layers: an output and nodes of a graph."""

    source: Any
    layers: list[Any]

    @property
    def weights(self) -> list[Floats]:
        """The layers' weights, float32 [O, I] each."""
        return [_matrix(layer) for layer in self.layers]


def openvino_version() -> str:
    """Return the version of OpenVINO. Raises ConfigError without the package."""
    try:
        return version("openvino")
    except ModuleNotFoundError:  # importlib's error for a package that is not there
        raise ConfigError(
            "quantize: the package openvino is not installed; pip install 'medembed[openvino]'."
        ) from None


def find_inputs(graph: Any) -> list[SharedInput]:
    """Return what the linear layers of a graph read, in the order of computing.

    Layers behind the pooling are left out: they cost nothing.
    """
    inputs: dict[tuple[str, int], SharedInput] = {}
    for node in graph.get_ordered_ops():
        if not _is_linear(node):
            continue
        source = node.input_value(0)
        key = (source.get_node().get_name(), source.get_index())
        inputs.setdefault(key, SharedInput(source, [])).layers.append(node)
    return list(inputs.values())


def measure_inputs(graph: Any, batches: Iterable[Batch]) -> list[Seen]:
    """Return the ranges of what `find_inputs` finds, over all tokens of the batches.

    By one thread, so that the same texts give the same bits on any number of cores.
    """
    openvino = import_openvino()
    copy = graph.clone()
    results = [openvino.opset13.result(shared.source) for shared in find_inputs(copy)]
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    tapped = openvino.Model(results, copy.get_parameters())
    request = openvino.Core().compile_model(tapped, "CPU", settings).create_infer_request()
    ranges: list[Seen] = []
    for batch in batches:
        mask = batch.features["attention_mask"]
        outputs = request.infer([batch.features["input_ids"], mask])
        values = [outputs[number][mask.astype(bool)] for number in range(len(results))]
        of_batch = [Seen.of(each, _ROWS_OF_BATCH) for each in values]
        before = ranges or of_batch
        ranges = [old.joined(new) for old, new in zip(before, of_batch, strict=True)]
    return ranges


def insert_int8(graph: Any, ranges: list[Seen]) -> Any:
    """Return a graph whose linear layers multiply bytes, inputs having the ranges measured."""
    copy = graph.clone()
    for shared, seen in zip(find_inputs(copy), ranges, strict=True):
        _code_layers(shared, seen)
    for node in copy.get_ordered_ops():
        if node.get_type_name() == "Gather" and _is_table(node):
            _code_table(node)
    copy.validate_nodes_and_infer_types()
    return copy


def to_files(graph: Any) -> Int8Graph:
    """Return a graph as its two files, the same ones for the same graph.

    Names of nodes and of what they give count what the process made before, and are given anew.
    """
    openvino = import_openvino()
    bare = openvino.Model(graph.get_results(), graph.get_parameters(), "int8")
    for number, node in enumerate(bare.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}-{number}")
        if node.get_type_name() != "Parameter":
            for port in node.outputs():
                port.get_tensor().set_names(set())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "graph.xml"
        openvino.save_model(bare, place, compress_to_fp16=False)
        return Int8Graph(place.read_bytes(), place.with_suffix(".bin").read_bytes())


def _code_layers(shared: SharedInput, seen: Seen) -> None:
    """Have these layers read codes of their input."""
    ops = import_openvino().opset13
    source = shared.layers[0].input_value(0)  # of now: a layer before this one may be coded already
    scale = scale_input(seen, shared.weights)
    lowest = ops.constant(np.float32(0))
    highest = ops.constant(np.float32(STEPS))
    scaled = ops.add(
        ops.multiply(source, ops.constant(scale.factor.reshape(1, 1, -1))),
        ops.constant(scale.offset.reshape(1, 1, -1)),
    )
    codes = ops.fake_quantize(scaled, lowest, highest, lowest, highest, STEPS + 1)
    for layer, weights in zip(shared.layers, shared.weights, strict=True):
        addition = _following_addition(layer)
        bias = np.zeros(len(weights), dtype=np.float32)
        if addition is not None:
            bias = addition.bias
        coded = code_linear(weights, bias, scale, seen.rows)
        computed = _compute(codes, coded)
        _replace(addition.node if addition else layer, computed)


def _compute(codes: Any, coded: CodedLinear) -> Any:
    """Return the node that a coded layer ends in."""
    ops = import_openvino().opset13
    whole = ops.convert(ops.constant(coded.weights.codes), "f32")
    weights = ops.multiply(whole, ops.constant(coded.weights.steps))
    product = ops.matmul(codes, weights, False, True)
    return ops.add(product, ops.constant(coded.bias.reshape(1, 1, -1)))


@dataclass(frozen=True)
class _Addition:
    """The node that adds a layer's bias, float32 [O]."""

    node: Any
    bias: Floats


def _following_addition(layer: Any) -> _Addition | None:
    """Return what adds a bias to a layer, if nothing else reads the layer."""
    readers = list(layer.output(0).get_target_inputs())
    if len(readers) != 1 or readers[0].get_node().get_type_name() != "Add":
        return None
    node = readers[0].get_node()
    other = node.input_value(1 - readers[0].get_index()).get_node()
    if other.get_type_name() != "Constant" or other.data.size != _matrix(layer).shape[0]:
        return None
    return _Addition(node, other.data.reshape(-1).astype(np.float32))


def _code_table(gather: Any) -> None:
    """Have a table of words hold codes, with a step for each row."""
    ops = import_openvino().opset13
    coded = code_rows(gather.input_value(0).get_node().data)
    ids = gather.input_value(1)
    axis = ops.constant(np.int64(0))
    codes = ops.convert(ops.gather(ops.constant(coded.codes), ids, axis), "f32")
    steps = ops.gather(ops.constant(coded.steps), ids, axis)
    _replace(gather, ops.multiply(codes, steps))


def _is_table(node: Any) -> bool:
    table = node.input_value(0).get_node()
    axis = node.input_value(2).get_node()
    return bool(
        table.get_type_name() == "Constant"
        and table.data.dtype == np.float32
        and table.data.ndim == 2
        and table.data.size >= _FEWEST_NUMBERS
        and axis.get_type_name() == "Constant"
        and int(axis.data) == 0
    )


def _is_linear(node: Any) -> bool:
    """Return whether a node multiplies what has a row for each token by a constant matrix."""
    if node.get_type_name() != "MatMul":
        return False
    weights = node.input_value(1).get_node()
    rank = node.input_value(0).get_partial_shape().rank
    return bool(
        weights.get_type_name() == "Constant"
        and weights.data.ndim == 2
        and rank.is_static
        and rank.get_length() == _OF_TOKENS
    )


def _matrix(layer: Any) -> Floats:
    """Return a linear layer's weights, float32 [O, I]."""
    weights: Floats = layer.input_value(1).get_node().data
    return weights if layer.get_attributes()["transpose_b"] else weights.T


def _replace(node: Any, other: Any) -> None:
    """Have all that reads a node read the other one."""
    for reader in list(node.output(0).get_target_inputs()):
        reader.replace_source_output(other.output(0))
