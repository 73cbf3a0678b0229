"""A model gets an int8 graph that is near its own vectors, is refused where it is not, and computes
only beside the weights that it was made of.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medembed.config import Config
from medembed.custody.chain import Chains
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding import int8_backend, int8_graph
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.int8_graph import CONSTANTS, FACTS, TOPOLOGY, Int8Graph, encoder_fingerprint
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import ConfigError, ModelError
from medembed.finetuning.config import FinetuneConfig
from medembed.quantization import calibrate
from medembed.quantization.config import QuantizeConfig
from medembed.quantization.quantize import Quantized, quantize, quantize_and_register
from medembed.quantization.scales import Seen
from medembed.registry.catalog import all_versions
from medembed.registry.champion import check_candidate, make_champion
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.tags import Lineage
from medembed.tuning.config import TuneConfig
from serve.replica.served_model import ModelSettings, load_served

INT8 = EncodingConfig(precision="int8")
TORCH = EncodingConfig(backend="torch")
TEXTS = ["heart pain", "a", "swelling of the left knee, grade 3 " * 20, "skin rash", "douleur"]


@pytest.fixture(autouse=True)
def any_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Take this machine's CPU for one with the instructions: the numbers are near enough."""
    facts = tmp_path_factory.mktemp("cpu") / "cpuinfo"
    facts.write_text("flags\t\t: fpu avx512_vnni\n")
    monkeypatch.setattr(int8_graph, "_CPU_FACTS", facts)


@pytest.fixture(scope="module")
def dataset(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("data") / "data"
    return prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(place))


def config_of(output: Path, model: Path) -> QuantizeConfig:
    return QuantizeConfig(
        model=str(model), data="unused", output=str(output), tolerance=0.5, texts=60
    )


@pytest.fixture(scope="module")
def quantized(
    dataset: Dataset, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Quantized:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_graph, "check_cpu", lambda: None)
        patch.setattr("medembed.quantization.quantize.check_cpu", lambda: None)
        config = config_of(tmp_path_factory.mktemp("int8") / "model", encoder_folder)
        return quantize(config, str(encoder_folder), dataset)


@pytest.fixture
def folder(quantized: Quantized, tmp_path: Path) -> Path:
    """A copy of the model with its graph, to be spoilt."""
    return shutil.copytree(quantized.checkpoint.uri, tmp_path / "model")


def test_the_graph_gives_nearly_the_vectors_of_the_weights_whatever_the_batches(folder: Path):
    exact = Encoder.load(str(folder), TORCH).encode(TEXTS * 3)
    encoder = Encoder.load(str(folder), INT8.model_copy(update={"cpus_per_worker": 2}))
    vectors = encoder.encode(TEXTS * 3)
    assert 0.98 < (vectors * exact).sum(axis=1).min() < 0.999999
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(vectors[: len(TEXTS)] - alone).max() < 1e-3


def test_the_model_itself_stays_what_it_was_and_its_graph_has_a_fingerprint_of_its_own(
    folder: Path, encoder_folder: Path, quantized: Quantized
):
    assert model_fingerprint(folder) == model_fingerprint(encoder_folder)
    in_int8 = encoder_fingerprint(folder, INT8)
    settings = ModelSettings(model=str(folder), name="m", version="1")
    served = load_served(settings, INT8)
    assert in_int8 == quantized.facts.encoder == served.model["fingerprint"]
    assert in_int8 != encoder_fingerprint(folder, TORCH) == model_fingerprint(folder)


def test_the_same_inputs_make_the_same_bytes_and_a_rerun_makes_nothing(
    dataset: Dataset, encoder_folder: Path, quantized: Quantized, tmp_path: Path
):
    first = Path(quantized.checkpoint.uri)
    config = config_of(tmp_path / "again", encoder_folder)
    again = Path(quantize(config, str(encoder_folder), dataset).checkpoint.uri)
    for name in (TOPOLOGY, CONSTANTS, FACTS):
        assert (again / name).read_bytes() == (first / name).read_bytes(), name
    made = (again / TOPOLOGY).stat().st_mtime_ns
    assert quantize(config, str(encoder_folder), dataset).facts == quantized.facts
    assert (again / TOPOLOGY).stat().st_mtime_ns == made


def test_a_graph_that_ranks_worse_is_refused_and_leaves_nothing(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def narrow(*_: object) -> list[Seen]:
        return [seen._replace(low=0 * seen.low, high=0 * seen.high) for seen in measure(*_)]

    measure = calibrate.measure_inputs
    monkeypatch.setattr(calibrate, "measure_inputs", narrow)
    config = config_of(tmp_path / "worse", encoder_folder).model_copy(update={"tolerance": 0.01})
    with pytest.raises(ModelError, match=r"NDCG@10 .* falls by .* nothing was written"):
        quantize(config, str(encoder_folder), dataset)
    assert not (tmp_path / "worse").exists()


def test_a_model_with_an_operation_that_no_reader_allows_is_one_line_and_leaves_nothing(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(int8_backend, "_OPERATIONS", "Add")
    with pytest.raises(ModelError, match=r"cannot be computed in int8: it has the operation"):
        quantize(config_of(tmp_path / "other", encoder_folder), str(encoder_folder), dataset)
    assert not (tmp_path / "other").exists()


def test_the_models_own_folder_is_no_place_for_it(dataset: Dataset, encoder_folder: Path):
    with pytest.raises(ConfigError, match="is the model's own folder"):
        quantize(config_of(encoder_folder, encoder_folder), str(encoder_folder), dataset)
    assert (encoder_folder / "modules.json").exists()


def without_graph(folder: Path) -> None:
    shutil.rmtree(folder / "int8")


def with_other_weights(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    file = next(folder.rglob("model.safetensors"))
    save_file({name: 1.01 * tensor for name, tensor in load_file(file).items()}, file)


def cut_off(folder: Path) -> None:
    (folder / CONSTANTS).write_bytes((folder / CONSTANTS).read_bytes()[:-1])


def rewrite(change: Callable[[Int8Graph], Int8Graph]) -> Callable[[Path], None]:
    """Return what changes a graph, and makes its facts say that this is how it was made."""

    def spoil(folder: Path) -> None:
        graph = change(
            Int8Graph((folder / TOPOLOGY).read_bytes(), (folder / CONSTANTS).read_bytes())
        )
        (folder / TOPOLOGY).write_bytes(graph.topology)
        (folder / CONSTANTS).write_bytes(graph.constants)
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps(facts | {"graph": graph.hash}))

    return spoil


def replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Return what replaces a part of the topology."""

    def change(graph: Int8Graph) -> Int8Graph:
        assert old in graph.topology
        return replace(graph, topology=graph.topology.replace(old, new, 1))

    return rewrite(change)


def with_an_endless_shape(graph: Int8Graph) -> Int8Graph:
    """Return a graph with a table of 2^64 bytes, which are none in 64 bits."""
    ours = rb'shape="\d+, 32" offset="0" size="\d+"'
    endless = f'shape="{1 << 60}, 4" offset="0" size="0"'.encode()
    topology, count = re.subn(ours, endless, graph.topology)
    assert count == 1
    return replace(graph, topology=topology)


def with_a_hidden_entity(graph: Int8Graph) -> Int8Graph:
    """Return a graph with an entity, in an encoding in which no byte string shows it."""
    entity = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE net [<!ENTITY a "b">]>'
    text = graph.topology.decode().replace('<?xml version="1.0"?>', entity, 1)
    assert entity in text
    return replace(graph, topology=text.encode("utf-16"))


def with_other_words(graph: Int8Graph) -> Int8Graph:
    """Return a graph whose table of words is another: that of another model."""
    facts = re.search(rb'"f32" shape="\d\d\d, 32" offset="(\d+)" size="(\d+)"', graph.topology)
    assert facts, "the table of words"
    start, size = map(int, facts.groups())
    constants = bytearray(graph.constants)
    words = np.frombuffer(graph.constants[start : start + size], np.float32).reshape(-1, 32)
    constants[start : start + size] = (-50 * words[:, ::-1]).tobytes()
    return replace(graph, constants=bytes(constants))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_graph, "found no int8/graph.json"),
        (with_other_weights, "was made of model"),
        (cut_off, "bytes are not those"),
        (replaced(b'type="Gelu"', b'type="ReadValue"'), "operation 'ReadValue'"),
        (replaced(b'type="MatMul"', b'type="Loop"'), "operation 'Loop'"),
        (replaced(b"<?xml", b"<!DOCTYPE a><?xml"), "not the XML"),
        (replaced(b"</net>", b""), "not the XML"),
        (replaced(b'offset="0"', b'offset="18446744073709551615"'), "file does not have"),
        (rewrite(with_an_endless_shape), "file does not have"),
        (rewrite(with_a_hidden_entity), "not the XML"),
        (replaced(b'version="11"', b'version="1"'), "cannot compute it"),
        (rewrite(with_other_words), "cosine"),
    ],
)
def test_a_graph_that_is_missing_damaged_forged_or_another_models_is_one_line(
    folder: Path, spoil: Callable[[Path], None], reason: str
):
    spoil(folder)
    with pytest.raises(ModelError, match=reason) as caught:
        Encoder.load(str(folder), INT8)
    assert "\n" not in str(caught.value)
    Encoder.load(str(folder), TORCH)


def test_a_cpu_without_the_instructions_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    facts = folder / "cpuinfo"
    facts.write_text("flags\t\t: fpu avx512f\n")
    monkeypatch.setattr(int8_graph, "_CPU_FACTS", facts)
    with pytest.raises(ModelError, match="none of the instructions avx512_vnni, avx_vnni"):
        Encoder.load(str(folder), INT8)


@pytest.mark.parametrize(
    "keys", [{"gpus_per_worker": 1}, {"backend": "torch"}], ids=["a GPU", "torch"]
)
def test_int8_is_for_openvino_on_cpus(keys: dict[str, object]):
    with pytest.raises(ValueError, match="precision int8"):
        EncodingConfig.model_validate({"precision": "int8", **keys})


@pytest.mark.parametrize(
    ("config", "given"),
    [
        (FinetuneConfig, {"source": {"path": "a"}}),
        (TuneConfig, {"model": "a", "data": "b", "output": "c"}),
    ],
)
def test_a_training_refuses_int8_before_anything_is_made(
    config: type[Config], given: dict[str, object]
):
    with pytest.raises(ValueError, match="a model in training has not"):
        config.model_validate({**given, "encoding": {"precision": "int8"}})


def test_the_version_with_the_graph_may_be_promoted_as_the_one_without(
    dataset: Dataset, quantized: Quantized, empty_registry: Path, tmp_path: Path
):
    workspace = shutil.copytree(empty_registry, tmp_path / "workspace")
    registry = open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)
    plain = registry.register(
        quantized.checkpoint.uri,
        params={},
        metrics={},
        lineage=Lineage(job="retrain", compared_with="7", decision="better", attempt="a"),
        artifacts={},
    )
    make_champion(registry, plain, None)
    keys = {"model": plain.reference, "data": dataset.uri, "output": str(tmp_path / "{key}")}
    config = QuantizeConfig(**keys, tolerance=0.5, texts=60, registry=registry.config)
    summary = quantize_and_register(config, registry)
    made = registry.resolve("models:/medembed/2")
    assert made.source == summary["output"] != plain.source
    assert made.lineage.attempt == "a"
    assert made.lineage.job == "quantize"
    assert made.lineage.encoder == model_fingerprint(Path(plain.source))
    assert check_candidate(registry, made) == "1"
    link = Chains(registry, "medembed").find(quantized.facts.encoder)
    assert link is not None
    assert link.version == made

    make_champion(registry, made, "1")
    champion = config.model_copy(update={"model": "models:/medembed@champion"})
    assert quantize_and_register(champion, registry)["output"] == made.source
    assert [version.version for version in all_versions(registry, "medembed")] == ["2", "1"]
