import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.errors import ModelError
from medembed.retraining.merge import merge_weights


def test_each_weight_is_the_weighted_mean_and_the_folder_still_loads(encoder_folder: Path, tmp_path: Path):
    trained = tmp_path / "trained"
    shutil.copytree(encoder_folder, trained)
    before = load_file(trained / "model.safetensors")
    generator = np.random.default_rng(0)
    moved = {name: value + generator.normal(size=value.shape).astype(value.dtype) for name, value in before.items()}
    save_file(moved, trained / "model.safetensors", metadata={"format": "pt"})
    merge_weights(encoder_folder, trained, 0.25)
    merged = load_file(trained / "model.safetensors")
    assert merged.keys() == before.keys()
    for name, value in merged.items():
        np.testing.assert_allclose(value, 0.75 * before[name] + 0.25 * moved[name], atol=1e-6)
    assert load_model(trained, EncodingConfig(), "cpu").encode("heart pain").shape == (32,)


def test_models_of_other_shapes_are_not_merged(encoder_folder: Path, tmp_path: Path):
    trained = tmp_path / "trained"
    shutil.copytree(encoder_folder, trained)
    save_file({"other": np.zeros(3, np.float32)}, trained / "model.safetensors")
    with pytest.raises(ModelError, match="increment.merge"):
        merge_weights(encoder_folder, trained, 0.5)
