"""Training starts at principal axes: full width as before, the first dimensions hold the most."""

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import CARD
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.model.principal_axes import (
    draw_documents,
    find_start,
    place_start,
    principal_axes,
    read_start,
    turn,
    turn_to_axes,
    turns,
    write_start,
)
from medembed.training.options import PromptsConfig
from tests.kinds import KINDS
from tests.tiny import SIGNS, SUBJECTS, WIDTH

TEXTS = [f"{subject} {sign}" for subject in SUBJECTS for sign in SIGNS]


def unit_rows(count: int, width: int) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(count, width)) * np.linspace(0.1, 2, width) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_axes_are_a_rotation_that_puts_most_of_the_length_first():
    rows = unit_rows(200, 12)
    axes, shares = principal_axes(rows)
    assert np.abs(axes @ axes.T - np.eye(12)).max() < 1e-6
    assert (np.diff(shares) <= 0).all()
    assert abs(shares.sum() - 1) < 1e-12
    lengths = np.square(rows @ axes.T).mean(0)
    assert np.abs(lengths - shares).max() < 1e-6
    best = np.linalg.svd(rows.astype(np.float64), compute_uv=False)[:4]
    assert abs(lengths[:4].sum() - np.square(best).sum() / 200) < 1e-6, (
        "no four axes hold more: Eckart and Young 1936"
    )


def test_axes_do_not_depend_on_the_order_of_the_vectors_or_the_sign_that_a_library_gives():
    rows = unit_rows(200, 12)
    axes = principal_axes(rows)[0]
    assert np.abs(axes - principal_axes(rows[::-1])[0]).max() < 1e-5
    assert (axes[np.arange(12), np.abs(axes).argmax(1)] > 0).all()


def test_a_turned_model_gives_the_same_cosines_and_loads_as_a_stock_folder(
    encoder_folder: Path, tmp_path: Path
):
    encoding = EncodingConfig()
    model = load_model(encoder_folder, encoding, "cpu")
    before = Encoder(model, encoding).encode(TEXTS)
    axes, shares = principal_axes(before)
    turn(model, axes)
    model.save_pretrained(str(tmp_path / "turned"), create_model_card=False)
    encoder = Encoder.load(str(tmp_path / "turned"), encoding)
    after = encoder.encode(TEXTS)
    assert encoder.width == WIDTH
    assert np.abs(after @ after.T - before @ before.T).max() < 1e-5
    held = np.square(after).mean(0).cumsum()
    assert np.abs(held - shares.cumsum()).max() < 1e-5
    assert held[7] > np.square(before).mean(0).cumsum()[7]


def test_a_model_whose_modules_have_names_is_turned_before_its_normalisation(
    encoder_folder: Path, tmp_path: Path
):
    stock = load_model(encoder_folder, EncodingConfig(), "cpu")
    named = SentenceTransformer(
        modules=OrderedDict(zip(("transformer", "pooler", "normalizer"), stock, strict=True))
    )
    before = Encoder(stock, EncodingConfig()).encode(TEXTS)
    turn(named, principal_axes(before)[0])
    assert [type(module).__name__ for module in named] == [
        "Transformer",
        "Pooling",
        "Dense",
        "Normalize",
    ]
    named.save_pretrained(str(tmp_path / "m"), create_model_card=False)
    after = Encoder.load(str(tmp_path / "m"), EncodingConfig()).encode(TEXTS)
    assert np.abs(after @ after.T - before @ before.T).max() < 1e-5


@pytest.mark.parametrize(("bias", "matrices"), [(False, 1), (True, 2)])
def test_a_matrix_behind_a_model_is_multiplied_and_one_with_a_bias_is_left(
    bias: bool, matrices: int, encoder_folder: Path, tmp_path: Path
):
    torch.manual_seed(0)
    matrix = Dense(WIDTH, 24, bias=bias, activation_function=torch.nn.Identity())
    modules = [*KINDS["pooling mean"](encoder_folder), matrix, Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu")
    before = Encoder(model, EncodingConfig()).encode(TEXTS)
    axes = principal_axes(before)[0][:16]
    turn(model, axes)
    model.save_pretrained(str(tmp_path / "m"), create_model_card=False)
    encoder = Encoder.load(str(tmp_path / "m"), EncodingConfig())
    kinds = [type(module).__name__ for module in encoder.model]
    assert kinds == ["Transformer", "Pooling", *["Dense"] * matrices, "Normalize"]
    expected = before @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(encoder.encode(TEXTS) - expected).max() < 1e-5


def test_a_model_keeps_its_axes_where_the_config_a_teacher_or_an_earlier_training_says_so(
    encoder_folder: Path, tmp_path: Path
):
    model, config = str(encoder_folder), TrainingConfig()
    assert turns(model, config)
    assert not turns(model, config.model_copy(update={"principal_axes": False}))
    assert not turns(
        model, config.model_copy(update={"loss": LossConfig(name="distill", guide=model)})
    )
    trained = shutil.copytree(encoder_folder, tmp_path / "trained")
    (trained / CARD).write_text(json.dumps({"dimensions": [32, 8]}))
    assert not turns(str(trained), config)


def test_a_start_is_found_once_it_is_whole_and_says_what_prefixes_hold(
    encoder_folder: Path, tmp_path: Path
):
    vectors = Encoder.load(str(encoder_folder), EncodingConfig()).encode(TEXTS)
    run = str(tmp_path)
    (tmp_path / "start-0").mkdir()
    (tmp_path / "start-0" / "model.safetensors").write_bytes(b"half")
    assert find_start(run) is None
    assert read_start(run) is None
    config = TrainingConfig(
        dimensions=(WIDTH, 8), select_dimension=8, prompts=PromptsConfig(query="ask: ")
    )
    turned = turn_to_axes(vectors, config.dimensions)
    write_start(str(encoder_folder), turned, None, config, place_start(run, "1"))
    assert find_start(run) == f"{run}/start-1"
    start = read_start(run)
    assert start is not None
    assert start.documents == len(TEXTS)
    assert start.held[8] < start.held[WIDTH] == pytest.approx(1)
    assert Encoder.load(f"{run}/start-1", EncodingConfig()).prompt("query") == "ask: "


def test_documents_are_drawn_from_what_training_may_read(pairs_file: Path, tmp_path: Path):
    dataset = prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(tmp_path))
    drawn = draw_documents(dataset, seed=0)
    rows = dataset.corpus().to_pylist()
    assert sorted(drawn) == sorted(row["text"] for row in rows if row["split"] in (None, "train"))
    assert drawn == draw_documents(dataset, seed=0)
