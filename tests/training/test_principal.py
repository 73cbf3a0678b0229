"""Training starts at principal axes: full width as before, the first dimensions hold the most."""

from pathlib import Path

import numpy as np
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.training.config import TrainingConfig
from medembed.training.principal import make_start, principal_axes, turn
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
    found = np.square(rows @ axes.T).mean(0)
    assert np.abs(found - shares).max() < 1e-6
    best = np.linalg.svd(rows.astype(np.float64), compute_uv=False)[:4]
    assert abs(found[:4].sum() - np.square(best).sum() / 200) < 1e-6, "no four axes hold more: Eckart and Young 1936"


def test_axes_do_not_depend_on_the_order_of_the_vectors_or_the_sign_that_a_library_gives():
    rows = unit_rows(200, 12)
    axes = principal_axes(rows)[0]
    assert np.abs(axes - principal_axes(rows[::-1])[0]).max() < 1e-5
    assert (axes[np.arange(12), np.abs(axes).argmax(1)] > 0).all()


def test_a_turned_model_gives_the_same_cosines_and_loads_as_a_stock_folder(encoder_folder: Path, tmp_path: Path):
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


@pytest.mark.parametrize(
    "settings", [{"principal_axes": False}, {"loss": {"name": "mse", "guide": "anything"}}], ids=["off", "mse"]
)
def test_a_model_keeps_its_axes_where_the_config_says_so_or_a_teacher_gives_them(
    settings: dict[str, object], encoder_folder: Path, tmp_path: Path
):
    config = TrainingConfig.model_validate(settings)
    model = str(encoder_folder)
    assert make_start(model, Dataset("nowhere", {}), config, str(tmp_path / "start"), "key") == model
    assert not (tmp_path / "start").exists()
