"""What computes the vectors: torch on a GPU, torch or OpenVINO on a CPU, whichever is faster there.

Backends of one encoder fingerprint agree: OpenVINO, and linear layers by oneDNN in torch, are used
only where their unit vectors are within 1e-5 of plain torch's in every number (measured: MiniLM-L6
within 2.6e-7), half precision only where its cosine to float32 is at least 0.9999.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medembed.encoding.batching import Batch
from medembed.encoding.config import EncodingConfig, Precision
from medembed.encoding.graph_template import GraphTemplate, make_template, shape_of
from medembed.encoding.onednn_linear import pack
from medembed.encoding.openvino_backend import OpenVinoBackend, convert
from medembed.encoding.reading import ROLES, Reader
from medembed.errors import ConfigError, first_line
from medembed.language import tr

logger = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-5
LOWEST_COSINE = 0.9999
# Of fewer parameters, embeddings included, a model computes so little that changing it never pays.
_SMALLEST_TO_CONVERT = 2_000_000
# Torch must be that much faster to be chosen, so that noise does not give two workers different
# backends.
_MARGIN = 1.1
_TIMED_FOR_S = 1.0
_PROBE = (
    "The patient has a fever of 39 degrees, a dry cough and pain in the chest when breathing in. "
)
_PROBE_REPEATS = (1, 1, 2, 2, 3, 3, 4, 4)
# what calibration found in this process, by the model's shape and threads
_chosen: dict[tuple[int, ...], str] = {}
# {shape of a model: its graph without weights} of what was converted in this process
_templates: dict[str, GraphTemplate] = {}


class Backend(Protocol):
    """Writes sentence vectors, not normalised, to an array; `at_once` batches side by side."""

    name: str
    at_once: int

    def embed(self, batches: Iterable[Batch], into: npt.NDArray[np.float32]) -> None: ...


class TorchBackend:
    """The model's vectors from torch, on the device and in the precision that the model has.

    `output` is the model's own name for them; a cross-encoder's are `scores`, of one number each.
    Follows the model: weights that training changes, and the device that it is moved to, count at
    once.
    """

    name = "torch"
    at_once = 1  # its threads share each batch

    def __init__(self, model: Any, output: str = "sentence_embedding") -> None:
        self.model = model
        self.output = output

    def embed(self, batches: Iterable[Batch], into: npt.NDArray[np.float32]) -> None:
        """Write the vector of each text to its row of `into`, float32 [texts, width]."""
        import torch

        device = self.model.device
        computed = []
        with torch.inference_mode():
            for batch in batches:
                features: dict[str, Any] = dict(batch.shared)
                for name, values in batch.features.items():
                    features[name] = torch.from_numpy(values).to(device, non_blocking=True)
                computed.append((batch.positions, self.model(features)[self.output].float()))
            # read at the end, so that a GPU never waits for this thread
            for rows, vectors in computed:
                # fewer where the model says `truncate_dim`
                into[rows] = vectors.cpu().numpy()[:, : into.shape[1]]


def choose_backend(model: Any, config: EncodingConfig) -> Backend:
    """Return the backend for a loaded model; on a CPU, "auto" times both for about a second.

    The weights must not change afterwards: both keep them in an order of their own, and torch's
    linear layers are no longer those that were loaded. The choice is logged, and made once per
    process for models of one shape. A model that OpenVINO cannot convert, or converts wrongly, gets
    torch, and so does one that reads more than padded token ids, or reads queries otherwise than
    documents. Raises ConfigError if openvino was asked for and is not installed.
    """
    plain = TorchBackend(model)
    if model.device.type != "cpu":
        return plain
    parameters = sum(parameter.numel() for parameter in model.parameters())
    key = (parameters, int(model.get_embedding_dimension() or 0), config.cpus_per_worker)
    if config.backend != "openvino" and parameters < _SMALLEST_TO_CONVERT:
        return plain
    probe = make_probe(model)
    if config.backend == "torch" or (config.backend == "auto" and _chosen.get(key) == "torch"):
        _pack(plain, probe)
        return plain
    if len(probe) > 1 or set(probe[0].features) != {"input_ids", "attention_mask"}:
        logger.info(tr("encoding backend: torch (the model reads more than padded token ids)"))
        _pack(plain, probe)
        return plain
    converted = _convert(plain, probe, config)  # before packing, which it could not trace
    if converted is not None and "openvino" in (config.backend, _chosen.get(key)):
        return converted
    undo = _pack(plain, probe)
    if converted is None:
        return plain
    _chosen[key] = calibrate(plain, converted, probe * config.cpus_per_worker, key[1])
    if _chosen[key] == "torch":
        return plain
    undo()  # the packed weights would only take memory
    return converted


def calibrate(plain: Backend, converted: Backend, batches: Sequence[Batch], width: int) -> str:
    """Return the faster backend's name: `converted`, unless `plain` is clearly faster."""
    into = np.zeros((max(len(batch.positions) for batch in batches), width), dtype=np.float32)
    times: dict[str, list[float]] = {plain.name: [], converted.name: []}
    start = time.perf_counter()
    while time.perf_counter() - start < _TIMED_FOR_S or len(times[converted.name]) < 2:
        for backend in (plain, converted):  # in turn, so that a busy moment falls on both
            begin = time.perf_counter()
            backend.embed(batches, into)
            times[backend.name].append(time.perf_counter() - begin)
    tokens = sum(batch.tokens for batch in batches)
    speeds = []
    for name, seconds in times.items():
        speeds.append(tr("{name} {speed:,.0f} tokens/s", name=name, speed=tokens / min(seconds)))
    is_faster = min(times[plain.name]) * _MARGIN < min(times[converted.name])
    faster = plain.name if is_faster else converted.name
    logger.info(tr("encoding backend: {name} ({speeds})", name=faster, speeds=", ".join(speeds)))
    return faster


def in_precision(model: Any, precision: Precision) -> Any:
    """Return the model in this precision if its vectors keep a cosine of 0.9999 to float32.

    "auto" tries float16, which has the finer steps, then bfloat16, which does not overflow. Made-up
    texts are measured, on the model's device. A new model; the old one is unchanged.
    """
    import torch

    probe = make_probe(model)
    exact = unit_vectors(TorchBackend(model), probe, int(model.get_embedding_dimension() or 0))
    for name in ("float16", "bfloat16") if precision == "auto" else (precision,):
        if name == "float32":
            return model
        candidate = copy.deepcopy(model).to(getattr(torch, name))
        cosine = float(
            (unit_vectors(TorchBackend(candidate), probe, exact.shape[1]) * exact).sum(axis=1).min()
        )
        if cosine >= LOWEST_COSINE:  # False for NaN
            logger.info(
                tr(
                    "encoding precision: {name} (lowest cosine to float32 {cosine:.6f})",
                    name=name,
                    cosine=cosine,
                )
            )
            return candidate
        logger.warning(
            tr(
                "encoding precision: {name} has cosine {cosine:.6f} to float32, below {least}",
                name=name,
                cosine=cosine,
                least=LOWEST_COSINE,
            )
        )
    logger.warning(tr("encoding precision: float32"))
    return model


def make_probe(model: Any) -> list[Batch]:
    """Return a batch of made-up texts; one for each role if the model reads those differently."""
    reader = Reader(model)
    batches = []
    for role in ROLES if reader.tells_roles_apart else ROLES[:1]:
        tokens = reader.read([_PROBE * repeats for repeats in _PROBE_REPEATS], role).tokens
        batches.append(tokens.batch(list(range(len(tokens)))))
    return batches


def unit_vectors(backend: Backend, batches: Sequence[Batch], width: int) -> npt.NDArray[np.float32]:
    """Return float32 [B, width] of the batches one behind the other, unit rows."""
    parts = []
    for batch in batches:
        vectors = np.zeros((len(batch.positions), width), dtype=np.float32)
        backend.embed([batch], vectors)
        parts.append(vectors)
    return normalize(np.concatenate(parts))


def normalize(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return unit rows; a row of zeros stays one."""
    with np.errstate(invalid="ignore"):  # infinite over infinite: the caller looks for NaN
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _pack(plain: TorchBackend, probe: Sequence[Batch]) -> Callable[[], None]:
    """Have oneDNN compute the linear layers if the result is the same; return what undoes it."""
    width = int(plain.model.get_embedding_dimension() or 0)
    exact = unit_vectors(plain, probe, width)
    try:
        undo = pack(plain.model)
    except RuntimeError as error:
        logger.info(
            tr("encoding backend: torch without oneDNN ({reason})", reason=first_line(error))
        )
        return lambda: None
    difference = np.abs(unit_vectors(plain, probe, width) - exact).max()
    if not difference <= LARGEST_DIFFERENCE:
        undo()
        logger.warning(
            tr(
                "encoding backend: torch without oneDNN (its vectors differ by {difference:.1e})",
                difference=difference,
            )
        )
    return undo


def _convert(
    plain: TorchBackend, probe: Sequence[Batch], config: EncodingConfig
) -> OpenVinoBackend | None:
    """Return the model in OpenVINO if it computes the same there; else None, and log why."""
    shape = shape_of(plain.model)
    try:
        if shape in _templates:
            graph = _templates[shape].fill(plain.model)
            filled = OpenVinoBackend(graph, config.cpus_per_worker)
            if _difference(filled, plain, probe) <= LARGEST_DIFFERENCE:
                return filled
        graph = convert(plain.model, probe[0])
        converted = OpenVinoBackend(graph, config.cpus_per_worker)
        difference = _difference(converted, plain, probe)
        template = make_template(graph, plain.model)
    except ImportError:
        if config.backend == "openvino":
            raise ConfigError(
                "encoding.backend=openvino: the package openvino is not installed; "
                "pip install 'medembed[openvino]', or choose torch."
            ) from None
        logger.info(tr("encoding backend: torch (openvino is not installed)"))
        return None
    except Exception as error:  # of any type: it traces and converts code that we do not know
        logger.warning(
            tr(
                "encoding backend: torch (OpenVINO cannot convert the model: {error})",
                error=type(error).__name__,
            )
        )
        return None
    if not difference <= LARGEST_DIFFERENCE:
        logger.warning(
            tr(
                "encoding backend: torch (OpenVINO's vectors differ by {difference:.1e})",
                difference=difference,
            )
        )
        return None
    if template is not None:
        _templates[shape] = template
    return converted


def _difference(converted: Backend, plain: TorchBackend, probe: Sequence[Batch]) -> float:
    """Return how far the unit vectors of two backends are apart at most; NaN if one is broken."""
    width = int(plain.model.get_embedding_dimension() or 0)
    theirs = unit_vectors(converted, probe, width)
    return float(np.abs(theirs - unit_vectors(plain, probe, width)).max())
