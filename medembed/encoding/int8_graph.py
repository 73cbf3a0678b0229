"""Find a model's int8 graph, which `medembed quantize` puts into its folder, and check that it may
compute here.

OpenVINO computes it with whole numbers of eight bits. Its vectors are not those of the model's own
weights, so that it has an encoder fingerprint of its own.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from medembed.artifact import parse
from medembed.encoding.config import EncodingConfig
from medembed.encoding.model_files import model_fingerprint
from medembed.encoding.model_layout import read_json
from medembed.errors import ModelError, StorageError
from medembed.schema import fingerprint

TOPOLOGY = "int8/graph.xml"
CONSTANTS = "int8/graph.bin"
FACTS = "int8/graph.json"
# What multiplies bytes four at a time. Without any, a product of two may overflow where OpenVINO
# adds it up in 16 bits, and nothing is gained.
_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8")
_CPU_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Int8Facts:
    """How a graph was made, and what that cost.

    `model` is the fingerprint of the weights that it was made of, `graph` the hash of its two
    files, `dataset` the fingerprint of the data set that gave the `texts` for calibration.
    `before` and `after` are {dimension: NDCG@10 on the dev sample}.
    """

    model: str
    graph: str
    dataset: str
    texts: int
    queries: int
    tolerance: float
    before: dict[int, float]
    after: dict[int, float]
    openvino: str

    @property
    def encoder(self) -> str:
        """The fingerprint of what the graph computes."""
        return fingerprint({"model": self.model, "numeric": "int8", "graph": self.graph})

    def to_json(self) -> bytes:
        """Return the facts as the folder has them."""
        return json.dumps(asdict(self), indent=2).encode()


@dataclass(frozen=True)
class Int8Graph:
    """A graph as OpenVINO reads it: its operations as XML, and the numbers that these name."""

    topology: bytes
    constants: bytes

    @property
    def hash(self) -> str:
        """Identify both files."""
        digest = hashlib.sha256()
        for part in (self.topology, self.constants):
            digest.update(f"{len(part)}\n".encode())
            digest.update(part)
        return digest.hexdigest()


def encoder_fingerprint(folder: Path, config: EncodingConfig) -> str:
    """Identify what computes: the model, or its int8 graph where the config asks for that.

    Raises ModelError without such a graph, or with another model's.
    """
    model = model_fingerprint(folder)
    return read_facts(folder, model).encoder if config.is_int8 else model


def read_facts(folder: Path, model: str) -> Int8Facts:
    """Return what a folder says of its graph, `model` being the fingerprint of its weights.

    Raises ModelError without a graph, or with another model's.
    """
    place = folder / FACTS
    entries = read_json(place)
    if entries is None:
        raise ModelError(
            "model {folder}: precision=int8, but found no {file} there; make it with `medembed "
            "quantize`, or leave precision=int8 out.",
            folder=folder,
            file=FACTS,
        )
    try:
        facts = parse(Int8Facts, entries, str(place))
    except StorageError as error:
        raise ModelError(str(error)) from None
    if facts.model != model:
        raise ModelError(
            "{place}: the int8 graph was made of model {other}, but the weights beside it are "
            "{model}; make it again with `medembed quantize`.",
            place=place,
            other=facts.model,
            model=model,
        )
    return facts


def read_graph(folder: Path, facts: Int8Facts) -> Int8Graph:
    """Return the graph of a folder that `facts` describe. Raises ModelError if it is another."""
    try:
        graph = Int8Graph((folder / TOPOLOGY).read_bytes(), (folder / CONSTANTS).read_bytes())
    except OSError as error:
        raise ModelError(
            "{place}: cannot read it: {reason}; make the int8 graph again with `medembed "
            "quantize`.",
            place=error.filename,
            reason=error.strerror or type(error).__name__,
        ) from None
    if graph.hash != facts.graph:
        raise ModelError(
            "{place}: its bytes are not those that {facts} names; copy the whole model again.",
            place=(folder / FACTS).parent,
            facts=FACTS,
        )
    return graph


def check_cpu() -> None:
    """Raise ModelError for a CPU without the instructions that int8 is fast and exact with."""
    known: set[str] = set()
    if _CPU_FACTS.exists():
        for line in _CPU_FACTS.read_text().splitlines():
            if line.startswith("flags"):
                known.update(line.partition(":")[2].split())
    if known.isdisjoint(_INSTRUCTIONS):
        raise ModelError(
            "int8: found none of the instructions {names} on this machine's CPU; run this on one "
            "that has them, or leave precision=int8 out.",
            names=", ".join(_INSTRUCTIONS),
        )
