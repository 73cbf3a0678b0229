import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.training.model.adapters import add_adapter, merge_weights
from medembed.training.model.average import Average, average_folder
from medembed.training.options import AdapterConfig

TEXTS = ["heart pain", "eye itching", "skin"]


def load(folder: Path):
    return load_model(folder, EncodingConfig(), "cpu").eval()


def move(model, seed: int = 0) -> None:
    """Adds noise to all that is trained, as a training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 10)


def test_each_weight_is_the_weighted_mean_and_the_folder_still_loads(
    encoder_folder: Path, tmp_path: Path
):
    trained = tmp_path / "trained"
    shutil.copytree(encoder_folder, trained)
    before = load_file(trained / "model.safetensors")
    generator = np.random.default_rng(0)
    moved = {
        name: value + generator.normal(size=value.shape).astype(value.dtype)
        for name, value in before.items()
    }
    save_file(moved, trained / "model.safetensors", metadata={"format": "pt"})
    average_folder(encoder_folder, trained, 0.25, EncodingConfig())
    averaged = load_file(trained / "model.safetensors")
    assert averaged.keys() == before.keys()
    for name, value in averaged.items():
        np.testing.assert_allclose(value, 0.75 * before[name] + 0.25 * moved[name], atol=1e-6)
    assert load(trained).encode("heart pain").shape == (32,)


@pytest.mark.parametrize("adapter", [False, True])
def test_a_model_in_training_is_measured_as_its_average_is_published_and_goes_on_as_it_was(
    adapter: bool, encoder_folder: Path, tmp_path: Path
):
    model = load(encoder_folder)
    if adapter:
        add_adapter(model, AdapterConfig(kind="lora", rank=4))
    average = Average(model, (0.3,))
    move(model)
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with average.applied(0.3):
        measured = model.encode(TEXTS)
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.state_dict().items())
    shell = load(encoder_folder)
    shell.load_state_dict(
        merge_weights(model, shell.state_dict()) if adapter else model.state_dict()
    )
    shell.save_pretrained(str(tmp_path / "published"), create_model_card=False)
    average_folder(encoder_folder, tmp_path / "published", 0.3, EncodingConfig())
    published = load(tmp_path / "published").encode(TEXTS)
    np.testing.assert_allclose(measured, published, atol=1e-5)
    assert np.abs(published - load(encoder_folder).encode(TEXTS)).max() > 0.01
