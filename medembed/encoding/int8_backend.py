"""Load a model's int8 graph, which whoever wrote the folder may have made, to compute with it."""

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from medembed.encoding.backends import TorchBackend, make_probe, unit_vectors
from medembed.encoding.config import EncodingConfig
from medembed.encoding.int8_graph import TOPOLOGY, Int8Facts, Int8Graph, read_graph
from medembed.encoding.openvino_backend import OpenVinoBackend, import_openvino
from medembed.errors import ConfigError, ModelError
from medembed.language import tr

# Another model's vectors are far below, those of eight bits above.
_LOWEST_COSINE = 0.9
# What converted transformers consist of. None has a state or a body of its own, or reads a file.
_OPERATIONS = (
    "Abs Add BitwiseAnd BitwiseNot BitwiseOr Broadcast Clamp Concat Const Convert ConvertLike Cos "
    "CumSum Divide Elu Equal Erf Exp FakeQuantize Floor FloorMod Gather GatherElements Gelu "
    "Greater GreaterEqual HardSigmoid HSwish Less LessEqual Log LogicalAnd LogicalNot LogicalOr "
    "MatMul Maximum Minimum Mish Mod Multiply MVN Negative NormalizeL2 NotEqual Parameter Power "
    "PRelu Range ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Result "
    "ScaledDotProductAttention Select ShapeOf Sigmoid Sign Sin Slice Softmax SoftPlus Split Sqrt "
    "SquaredDifference Squeeze StridedSlice Subtract Swish Tanh Tile Transpose Unsqueeze "
    "VariadicSplit"
)
# Bytes of a number of each type that a graph may store.
_NUMBER_BYTES = {"f64": 8, "f32": 4, "f16": 2, "i64": 8, "i32": 4, "i8": 1, "u8": 1, "boolean": 1}
_WHOLE = re.compile("[0-9]{1,15}")
_INPUTS = [("input_ids", 2), ("attention_mask", 2)]


def load_int8(
    model: Any, folder: Path, facts: Int8Facts, config: EncodingConfig
) -> OpenVinoBackend:
    """Return what computes the int8 graph of a folder, which `facts` describe.

    `model` is the folder's model. Raises ModelError for a graph that is damaged or another model's,
    ConfigError without OpenVINO.
    """
    graph = read_graph(folder, facts)
    probe = make_probe(model)
    width = int(model.get_embedding_dimension() or 0)
    try:
        backend = OpenVinoBackend(parse_graph(graph, width), config.cpus_per_worker)
        vectors = unit_vectors(backend, probe, width)
    except ImportError:
        raise ConfigError(
            "encoding.precision=int8: the package openvino is not installed; pip install "
            "'medembed[openvino]', or leave precision=int8 out."
        ) from None
    except ModelError as error:
        raise _refuse(folder, str(error)) from None
    except Exception as error:  # of any type: whatever a stranger's graph makes OpenVINO raise
        reason = tr("OpenVINO cannot compute it ({error})", error=type(error).__name__)
        raise _refuse(folder, reason) from None
    cosines = (vectors * unit_vectors(TorchBackend(model), probe, width)).sum(axis=1)
    if not cosines.min() >= _LOWEST_COSINE:  # also for NaN
        reason = tr(
            "its vectors have cosine {cosine:.3f} to those of the weights, expected {least}",
            cosine=float(cosines.min()),
            least=_LOWEST_COSINE,
        )
        raise _refuse(folder, reason)
    return backend


def parse_graph(graph: Int8Graph, width: int) -> Any:
    """Return a graph that OpenVINO compiles, of ids and mask, int64 [B, T], to float32 [B, width].

    Raises ModelError, which says why but not where, for one that has other inputs or outputs, or
    more than arithmetic; what OpenVINO raises for bytes that are no graph; ImportError without it.
    """
    openvino = import_openvino()
    parsed = openvino.Core().read_model(_check(graph), graph.constants)
    inputs = [(port.any_name, len(port.partial_shape)) for port in parsed.inputs]
    outputs = [port.partial_shape for port in parsed.outputs]
    is_one_matrix = len(outputs) == 1 and len(outputs[0]) == 2
    if inputs != _INPUTS or not is_one_matrix or outputs[0][1] != width:
        raise ModelError(
            "it does not turn ids and mask into vectors of {width} numbers", width=width
        )
    return parsed


def _check(graph: Int8Graph) -> bytes:
    """Return the topology as it was read here, so that OpenVINO reads nothing else.

    Raises ModelError for one that asks for more than arithmetic on numbers in the file beside it.
    """
    try:
        text = graph.topology.decode()  # in no other encoding, which could hide what is looked for
        root = None if "<!" in text else ElementTree.fromstring(text)  # an entity may be anything
    except (UnicodeDecodeError, ElementTree.ParseError):
        root = None
    if root is None:
        raise ModelError("it is not the XML of a graph")
    known = _OPERATIONS.split()
    for layer in root.iter("layer"):
        kind = layer.get("type")
        if kind not in known:
            raise ModelError("it has the operation {name!r}, which is not allowed", name=kind)
        for data in layer.iter("data"):
            names_numbers = kind == "Const" or data.get("offset") is not None
            if names_numbers and not _is_inside(data, len(graph.constants)):
                raise ModelError("it names numbers that its file does not have")
    return bytes(ElementTree.tostring(root))


def _is_inside(numbers: ElementTree.Element, file_bytes: int) -> bool:
    """Return whether these numbers lie in the file, as many as their shape says.

    OpenVINO multiplies the shape in 64 bits: where that overflows it would read past the end.
    """
    shape = numbers.get("shape", "").replace(" ", "")
    sides = shape.split(",") if shape else []
    places = [numbers.get("offset", ""), numbers.get("size", "")]
    number_bytes = _NUMBER_BYTES.get(numbers.get("element_type", ""))
    if number_bytes is None or not all(map(_WHOLE.fullmatch, [*places, *sides])):
        return False
    offset, size = map(int, places)
    return size == math.prod(map(int, sides)) * number_bytes and offset + size <= file_bytes


def _refuse(folder: Path, reason: str) -> ModelError:
    return ModelError(
        "{place}: {reason}; make it again with `medembed quantize`, or leave precision=int8 out.",
        place=folder / TOPOLOGY,
        reason=reason,
    )
