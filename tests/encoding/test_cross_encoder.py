"""Check that pairs get stock scores, and that a cross-encoder which is not whole is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder as StockCrossEncoder

from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder, fetch_cross_encoder, is_cross_encoder
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import ModelError
from tests.cross import make_cross_encoder, make_language_model_ranker

# so that some pairs fill a batch, and some share one
CONFIG = EncodingConfig(max_tokens_per_batch=64)
PAIRS = [
    ("my heart pain", "Pain in the heart."),
    ("kidney", "Lung bleeding " * 40),
    ("heart " * 60, "Lung " * 60),
    ("the skin rash and burning", "Itching skin."),
    ("ear", "Ear pain,\nitching EAR."),
    ("a", "b"),
]


@pytest.fixture(scope="module")
def cross(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("cross") / "cross", encoder_folder)


def save_with_identity(folder: Path, cross: Path) -> Path:
    """Save a cross-encoder whose scores are logits, as sentence-transformers does."""
    stock = StockCrossEncoder(str(cross), device="cpu", activation_fn=torch.nn.Identity())
    stock.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("kind", ["plain", "saved with its activation", "language model"])
def test_pairs_score_as_the_stock_cross_encoder_scores_them_and_are_cut_as_it_cuts(
    kind: str, cross: Path, encoder_folder: Path, tmp_path: Path
):
    folder = cross
    if kind == "saved with its activation":
        folder = save_with_identity(tmp_path / "saved", cross)
    if kind == "language model":
        folder = make_language_model_ranker(tmp_path / "asked", encoder_folder)
    model = CrossEncoder.load(str(folder), CONFIG)
    expected = StockCrossEncoder(str(folder), device="cpu").predict(PAIRS, show_progress_bar=False)
    assert np.abs(model.score(PAIRS) - expected).max() < 1e-5
    assert np.ptp(expected) > 5e-4, "random models score pairs much alike"
    tokens, cut = model.tokenize(PAIRS)
    assert cut == [False, True, True, False, False, False]
    assert max(tokens.lengths) == model.max_length


def test_a_pair_that_just_fits_is_not_cut(cross: Path):
    model = CrossEncoder.load(str(cross), CONFIG)
    room = model.max_length - model.tokenize([("heart", "heart")])[0].lengths[0] + 1
    assert model.tokenize([("heart", "heart " * room), ("heart", "heart " * (room + 1))])[1] == [
        False,
        True,
    ]


def test_a_cross_encoder_is_told_by_its_settings_however_it_was_saved(
    cross: Path, encoder_folder: Path, tmp_path: Path
):
    assert is_cross_encoder(cross)
    assert is_cross_encoder(save_with_identity(tmp_path / "saved", cross))
    assert not is_cross_encoder(encoder_folder)
    with pytest.raises(ModelError, match="expected a CrossEncoder"):
        fetch_cross_encoder(str(encoder_folder))


def test_the_fingerprint_is_of_what_it_computes(cross: Path, tmp_path: Path):
    saved = save_with_identity(tmp_path / "saved", cross)
    fingerprint = CrossEncoder.load(str(cross), CONFIG).fingerprint
    assert fingerprint == model_fingerprint(cross)
    assert fingerprint != CrossEncoder.load(str(saved), CONFIG).fingerprint


def without(*beginnings: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {
        name: each for name, each in weights.items() if not name.startswith(beginnings)
    }


def with_nan(weights: dict[str, Any]) -> dict[str, Any]:
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    return weights


DAMAGED = {
    "no head": (
        without("classifier"),
        r"2 tensors \(classifier.bias, classifier.weight\) in its architecture but not in its weights file",
    ),
    "a tensor missing": (
        without("bert.encoder.layer.1.output.dense.bias"),
        r"1 tensor \(bert.encoder.layer.1.output.dense.bias\) in its architecture but not in its weights file",
    ),
    "a tensor too many": (
        lambda weights: weights | {"bert.encoder.layer.2.output.dense.bias": torch.ones(32)},
        r"1 tensor \(bert.encoder.layer.2.output.dense.bias\) in its weights file but not in its architecture",
    ),
    "a head of another shape": (
        lambda weights: weights | {"classifier.weight": torch.ones(1, 16)},
        r"shapes are not those that config.json says: classifier.weight \(1, 16\)",
    ),
    "no number": (
        with_nan,
        r"NaN or infinite numbers in 1 tensor \(0.model.bert.encoder.layer.0.output.dense.weight",
    ),
    "a head of zeros": (
        lambda weights: weights | {"classifier.weight": torch.zeros(1, 32)},
        "gives 6 made-up pairs the same score; its head is empty",
    ),
    "a head without bounds": (
        lambda weights: weights | {"classifier.weight": torch.full((1, 32), 3e38)},
        "gives 6 made-up pairs the same score|scores that are not numbers",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_weights_are_refused_by_name(damage: str, cross: Path, tmp_path: Path):
    change, message = DAMAGED[damage]
    folder = shutil.copytree(cross, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=message) as refused:
        CrossEncoder.load(str(folder), CONFIG)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 1}, "16 tensors .* in its weights file but not in its architecture"),
        (
            {"sbert_ce_default_activation_function": "evil.Run"},
            "activation 'evil.Run' is not one that MedEmbed runs",
        ),
        (
            {"sentence_transformers": {"activation_fn": "torch.utils.collect_env.main"}},
            "its activation 'torch.utils.collect_env.main' is not one",
        ),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.no.Tanh"}},
            "cannot load it: ModuleNotFoundError",
        ),
    ],
)
def test_settings_of_another_model_or_that_name_code_are_refused(
    settings: dict[str, Any], message: str, cross: Path, tmp_path: Path
):
    folder = shutil.copytree(cross, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(ModelError, match=message):
        CrossEncoder.load(str(folder), CONFIG)


def test_pickles_and_modules_of_its_own_are_refused_unread(cross: Path, tmp_path: Path):
    pickled = shutil.copytree(cross, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    own = shutil.copytree(cross, tmp_path / "own")
    (own / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    (own / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]'
    )
    for folder, message in (
        (pickled, "a pickle can run any code"),
        (own, "evil.Module is code of its own"),
    ):
        with pytest.raises(ModelError, match=message):
            CrossEncoder.load(str(folder), CONFIG)


def test_a_model_with_more_than_one_score_to_a_pair_is_refused(
    encoder_folder: Path, tmp_path: Path
):
    three = make_cross_encoder(tmp_path / "three", encoder_folder, labels=3)
    with pytest.raises(ModelError, match="gives 3 numbers for a pair; expected one"):
        CrossEncoder.load(str(three), CONFIG)


def test_a_model_that_is_read_otherwise_than_by_stock_is_refused(
    cross: Path, monkeypatch: pytest.MonkeyPatch
):
    columns = CrossEncoder.load(str(cross), CONFIG).form.columns

    def forget(_: Any, features: Any) -> dict[str, list[list[int]]]:
        read = columns(features)
        return read | {"token_type_ids": [[0] * len(ids) for ids in read["input_ids"]]}

    monkeypatch.setattr("medembed.encoding.form.Form.columns", forget)
    with pytest.raises(
        ModelError,
        match=r"a pair's score differs by \d\.\de-0\d from that of sentence-transformers",
    ):
        CrossEncoder.load(str(cross), CONFIG)
