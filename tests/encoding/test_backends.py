import copy
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from pydantic import ValidationError

from medembed.encoding import backends
from medembed.encoding.backends import (
    calibrate,
    choose_backend,
)
from medembed.encoding.batching import Batch, Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import ConfigError

OPENVINO, AUTO, TORCH = (EncodingConfig(backend=name) for name in ("openvino", "auto", "torch"))
TEXTS = [
    "heart pain",
    "a",
    "swelling of the left knee, grade 3 " * 20,
    "skin rash",
    "été: douleur à l'oreille",
]


def with_module(model: Any, module: torch.nn.Module) -> Any:
    """Return the model with one more module behind its last."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=[*model, module], device="cpu").eval()


class Bend(torch.nn.Module):
    """A module that applies a function to the sentence vectors, given their mask too."""

    def __init__(self, bend: Any) -> None:
        super().__init__()
        self.bend = bend

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        vectors = self.bend(features["sentence_embedding"], features["attention_mask"])
        return features | {"sentence_embedding": vectors}


def test_openvino_gives_torchs_vectors_within_1e_5_whatever_the_batches(encoder_folder: Path):
    exact = Encoder.load(str(encoder_folder), TORCH).encode(TEXTS * 3)
    for config in (
        OPENVINO,
        EncodingConfig(backend="openvino", cpus_per_worker=2, max_tokens_per_batch=64),
    ):
        encoder = Encoder.load(str(encoder_folder), config)
        assert encoder.backend.name == "openvino"
        assert np.abs(encoder.encode(TEXTS * 3) - exact).max() < 1e-5


@pytest.mark.parametrize("config", [TORCH, AUTO], ids=["torch", "auto without openvino"])
def test_torch_on_a_cpu_computes_linear_layers_by_onednn_to_the_same_vectors(
    config: EncodingConfig, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = Encoder.load(str(encoder_folder), config)  # too small to be worth it
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    monkeypatch.setitem(sys.modules, "openvino", None)
    packed = Encoder.load(str(encoder_folder), config)
    assert [type(module) for module in packed.model.modules()].count(torch.nn.Linear) == 0
    assert [type(module) for module in plain.model.modules()].count(torch.nn.Linear) > 0
    assert np.abs(packed.encode(TEXTS * 3) - plain.encode(TEXTS * 3)).max() < 1e-5


def unsupported(*_: Any) -> None:
    raise NotImplementedError("Could not run this operator")


@pytest.mark.parametrize("fault", ["other numbers", "no such operator"])
def test_where_onednn_computes_otherwise_or_is_missing_torch_is_as_it_was_loaded(
    fault: str,
    encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    exact = Encoder.load(str(encoder_folder), TORCH).encode(TEXTS)
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    operators: Any = torch.ops.mkldnn
    if fault == "other numbers":
        right = operators._linear_pointwise
        monkeypatch.setattr(operators, "_linear_pointwise", lambda *given: right(*given).flip(-1))
    else:
        monkeypatch.setattr(operators, "_reorder_linear_weight", unsupported)
    with caplog.at_level(logging.INFO):
        encoder = Encoder.load(str(encoder_folder), TORCH)
    assert "torch without oneDNN" in caplog.text
    np.testing.assert_array_equal(encoder.encode(TEXTS), exact)


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda vectors, mask: torch.special.airy_ai(vectors), "cannot convert"),
        (lambda vectors, mask: vectors if mask.sum() > 100 else vectors.flip(1), "differ by"),
    ],
    ids=["an operation that OpenVINO lacks", "a branch that tracing freezes"],
)
def test_a_model_that_openvino_computes_wrongly_or_not_at_all_is_computed_by_torch(
    bend: Any,
    reason: str,
    model: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    bent = with_module(model, Bend(bend))
    # Converted from one text, compared on several: the branch goes the other way.
    few = Tokens({"input_ids": [[2, 5, 3]]}).batch([0])
    convert = backends.convert
    monkeypatch.setattr(backends, "convert", lambda model, example: convert(model, few))
    level = logging.getLogger().level
    assert choose_backend(bent, OPENVINO).name == "torch"
    assert reason in caplog.text
    assert logging.getLogger().level == level


def test_a_tiny_model_and_one_that_is_asked_to_stay_with_torch_are_not_converted(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert Encoder.load(str(encoder_folder), AUTO).backend.name == "torch"
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    assert Encoder.load(str(encoder_folder), TORCH).backend.name == "torch"


def test_without_openvino_auto_says_so_and_takes_torch_and_openvino_is_a_one_line_error(
    model: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    with caplog.at_level(logging.INFO):
        assert choose_backend(model, AUTO).name == "torch"
    assert "openvino is not installed" in caplog.text
    with pytest.raises(ConfigError, match=r"not installed; pip install 'medembed\[openvino\]'"):
        choose_backend(model, OPENVINO)


def test_auto_takes_what_was_faster_says_it_and_times_once_per_process(
    model: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    monkeypatch.setattr(backends, "_TIMED_FOR_S", 0.0)
    monkeypatch.setattr(backends, "_chosen", {})
    with caplog.at_level(logging.INFO):
        first, second = (choose_backend(each, AUTO) for each in (copy.deepcopy(model), model))
    assert first.name == second.name
    assert caplog.text.count(f"encoding backend: {first.name} (torch ") == 1


def moved(model: Any, seed: int) -> Any:
    """Return a copy of a model whose tensors are all different, as training leaves them."""
    other = copy.deepcopy(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return other


def test_the_next_model_of_one_shape_is_filled_in_where_the_first_was_converted(
    model: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backends, "_templates", {})
    choose_backend(moved(model, 1), OPENVINO)
    monkeypatch.setattr(backends, "convert", unsupported)
    for seed in (2, 3):
        following = moved(model, seed)
        exact = Encoder(following, TORCH).encode(TEXTS)
        chosen = choose_backend(following, OPENVINO)
        assert chosen.name == "openvino"
        vectors = Encoder(following, OPENVINO, backend=chosen).encode(TEXTS)
        assert np.abs(vectors - exact).max() < 1e-5


def test_a_model_that_the_template_does_not_fit_is_converted(
    model: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backends, "_templates", {})
    choose_backend(model, OPENVINO)  # its biases are zeros, which no graph adds
    following = moved(model, 1)
    exact = Encoder(following, TORCH).encode(TEXTS)
    vectors = Encoder(following, OPENVINO, backend=choose_backend(following, OPENVINO)).encode(
        TEXTS
    )
    assert np.abs(vectors - exact).max() < 1e-5
    monkeypatch.setattr(backends, "convert", unsupported)
    other = with_module(moved(model, 1), Bend(lambda vectors, mask: vectors.flip(1)))
    assert choose_backend(other, OPENVINO).name == "torch"


def test_a_tensor_of_a_type_that_numpy_lacks_does_not_keep_a_model_from_openvino(model: Any):
    bend = Bend(lambda vectors, mask: vectors)
    bend.register_buffer("seen", torch.zeros(3, dtype=torch.bfloat16))
    assert choose_backend(with_module(model, bend), OPENVINO).name == "openvino"


class Slow:
    """A backend that takes its time."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds

    def embed(self, batches: Iterable[Batch], into: np.ndarray) -> None:
        time.sleep(self.seconds)


@pytest.mark.parametrize(
    ("torch_s", "openvino_s", "chosen"), [(0.005, 0.02, "torch"), (0.02, 0.005, "openvino")]
)
def test_calibration_chooses_the_faster(
    torch_s: float, openvino_s: float, chosen: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backends, "_TIMED_FOR_S", 0.05)
    batches = [Tokens({"input_ids": [[1, 2]]}).batch([0])]
    assert calibrate(Slow("torch", torch_s), Slow("openvino", openvino_s), batches, 4) == chosen


def test_an_encoder_around_a_model_in_training_follows_its_weights(model: Any):
    encoder = Encoder(model, OPENVINO)
    before = encoder.encode(TEXTS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert np.abs(encoder.encode(TEXTS) - before).max() > 0.01


def test_openvino_is_loaded_without_its_telemetry_and_starts_no_process(model: Any):
    children = psutil.Process().children(recursive=True)
    choose_backend(model, OPENVINO)
    assert sys.modules["openvino_telemetry"] is None
    assert psutil.Process().children(recursive=True) == children


def test_openvino_on_a_gpu_is_refused_at_once():
    with pytest.raises(
        ValidationError, match="openvino computes on CPUs; set gpus_per_worker=0, or choose torch"
    ):
        EncodingConfig(backend="openvino", gpus_per_worker=1)


@pytest.mark.parametrize("faster", ["torch", "openvino"])
def test_an_encoder_that_settles_later_gives_the_same_vectors_before_meanwhile_and_afterwards(
    faster: str, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    exact = Encoder.load(str(encoder_folder), EncodingConfig()).encode(TEXTS)
    encoder = Encoder.load(str(encoder_folder), EncodingConfig(), settles_later=True)
    meanwhile: list[Any] = []

    def choose(*_: Any) -> str:
        meanwhile.append((encoder.backend.name, encoder.encode(TEXTS)))
        return faster

    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    monkeypatch.setattr(backends, "_chosen", {})
    monkeypatch.setattr(backends, "calibrate", choose)
    encoder.settle()
    ((name, vectors),) = meanwhile
    assert name == "torch"
    # trying another backend changed nothing for those who ask
    np.testing.assert_array_equal(vectors, exact)
    assert encoder.backend.name == faster
    assert np.abs(encoder.encode(TEXTS) - exact).max() < 1e-5
    assert (
        encoder.tokenize(TEXTS).ids
        == Encoder.load(str(encoder_folder), EncodingConfig()).tokenize(TEXTS).ids
    )
    in_memory = [
        parameter for parameter in encoder.model.parameters() if parameter.device.type != "meta"
    ]
    assert bool(in_memory) == (faster == "torch"), "OpenVINO has weights of its own"


def test_a_backend_that_was_asked_for_is_there_at_once(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("openvino")
    monkeypatch.setattr(backends, "_SMALLEST_TO_CONVERT", 0)
    encoder = Encoder.load(
        str(encoder_folder), EncodingConfig(backend="openvino"), settles_later=True
    )
    assert encoder.backend.name == "openvino"
    own = encoder.backend
    encoder.settle()
    assert encoder.backend is own
