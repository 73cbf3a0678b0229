"""Load a model's int8 graph, which whoever wrote the folder may have made, to compute with it."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from medembed.encoding.backends import TorchBackend, make_probe, unit_vectors
from medembed.encoding.config import EncodingConfig
from medembed.encoding.int8_graph import TOPOLOGY, Int8Graph, check_cpu, read_graph
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
_INPUTS = [("input_ids", 2), ("attention_mask", 2)]


def load_int8(
    model: Any, folder: Path, fingerprint: str, config: EncodingConfig
) -> OpenVinoBackend:
    """Return what computes the int8 graph of a folder, `model` being the model that it holds.

    `fingerprint` is that of the model's weights. Raises ModelError without such a graph, for a
    damaged one or another model's, and on a CPU that it would be slow or wrong on; ConfigError
    without OpenVINO.
    """
    check_cpu()
    graph = read_graph(folder, fingerprint)
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
    except RuntimeError as error:
        reason = tr("OpenVINO cannot compute it ({error})", error=type(error).__name__)
        raise _refuse(folder, reason) from None
    except ValueError as error:
        raise _refuse(folder, str(error)) from None
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

    Raises ValueError for one that has other inputs or outputs, or more than arithmetic,
    RuntimeError for bytes that are no graph, ImportError without OpenVINO.
    """
    openvino = import_openvino()
    parsed = openvino.Core().read_model(_check(graph), graph.constants)
    inputs = [(port.any_name, len(port.partial_shape)) for port in parsed.inputs]
    outputs = [port.partial_shape for port in parsed.outputs]
    if inputs != _INPUTS or len(outputs) != 1 or outputs[0][-1] != width:
        raise ValueError(
            tr("it does not turn ids and mask into vectors of {width} numbers", width=width)
        )
    return parsed


def _check(graph: Int8Graph) -> bytes:
    """Return the topology as it was read here, so that OpenVINO reads nothing else.

    Raises ValueError for one that asks for more than arithmetic on numbers in the file beside it.
    """
    if b"<!" in graph.topology:  # an entity could stand for anything
        raise ValueError(tr("it is not the XML of a graph"))
    try:
        root = ElementTree.fromstring(graph.topology)
    except ElementTree.ParseError:
        raise ValueError(tr("it is not the XML of a graph")) from None
    known = _OPERATIONS.split()
    for layer in root.iter("layer"):
        if layer.get("type") not in known:
            raise ValueError(
                tr("it has the operation {name!r}, which no model needs", name=layer.get("type"))
            )
    for data in root.iter("data"):
        for key in ("offset", "size"):
            if not 0 <= int(data.get(key, "0")) <= len(graph.constants):
                raise ValueError(tr("it names numbers beyond the end of its file"))
        if data.get("element_type") == "string":
            raise ValueError(tr("it has texts, which no model computes"))
    return bytes(ElementTree.tostring(root))


def _refuse(folder: Path, reason: str) -> ModelError:
    return ModelError(
        "{place}: {reason}; make it again with `medembed quantize`, or leave precision=int8 out.",
        place=folder / TOPOLOGY,
        reason=reason,
    )
