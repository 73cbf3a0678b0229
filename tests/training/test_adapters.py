from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.errors import ConfigError, ModelError, TrainingError
from medembed.training.model.adapters import (
    ADAPTER_STATE,
    add_adapter,
    check_adapter,
    merge_weights,
)
from medembed.training.options import AdapterConfig
from tests.training.small import CONFIG, resume, start

LORA = CONFIG.model_copy(update={"adapter": AdapterConfig(kind="lora", rank=4, alpha=8)})
TEXTS = ["heart pain", "skin rash that affects the hand", "brain"]


def tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def test_only_the_added_matrices_change_and_they_do(encoder_folder: Path, tmp_path: Path):
    trainer = start(encoder_folder, LORA, tmp_path)
    before = tensors(trainer.model)
    trainer.train()
    changed = {
        name
        for name, tensor in tensors(trainer.model).items()
        if not torch.equal(tensor, before[name])
    }
    added = {name for name in before if "lora_" in name}
    assert changed
    assert changed <= added
    idle = {name for name in added - changed if "pooler" not in name}
    assert not idle, "every addition that the loss sees learns"


def test_a_checkpoint_is_a_stock_model_that_gives_the_vectors_of_the_model_in_training(
    encoder_folder: Path, tmp_path: Path
):
    trainer = start(encoder_folder, LORA, tmp_path, save_at=(6,))
    trainer.train()
    folder = tmp_path / "checkpoint-6"
    (folder / ADAPTER_STATE).unlink()  # as publishing does
    live = trainer.model.eval().encode(TEXTS)
    stock = SentenceTransformer(str(folder), device="cpu")
    assert np.abs(stock.encode(TEXTS) - live).max() < 1e-5
    assert (
        np.abs(SentenceTransformer(str(encoder_folder), device="cpu").encode(TEXTS) - live).max()
        > 1e-2
    )
    assert set(stock.state_dict()) == set(
        load_model(encoder_folder, EncodingConfig(), "cpu").state_dict()
    )
    assert [path.name for path in folder.rglob("*.safetensors")] == ["model.safetensors"]
    assert not [path.name for path in folder.rglob("*") if "adapter" in path.name]


def test_a_resumed_run_ends_with_the_bits_of_one_that_was_not_interrupted(
    encoder_folder: Path, tmp_path: Path
):
    whole = start(encoder_folder, LORA, tmp_path / "a", save_at=(3,))
    whole.train()
    resumed = start(encoder_folder, LORA, tmp_path / "b", done=3)
    resume(resumed, tmp_path / "a" / "checkpoint-3")
    expected = tensors(whole.model)
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in tensors(resumed.model).items()
    )


def test_merging_adds_alpha_over_rank_times_b_a(encoder_folder: Path):
    stock = load_model(encoder_folder, EncodingConfig(), "cpu")
    model = load_model(encoder_folder, EncodingConfig(), "cpu")
    add_adapter(model, AdapterConfig(kind="lora", rank=2, alpha=6, target_modules=("query",)))
    layer = model.transformers_model.encoder.layer[1].attention.self.query
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        b.normal_()
    merged = merge_weights(model, stock.state_dict())
    name = next(name for name in merged if name.endswith("layer.1.attention.self.query.weight"))
    assert torch.allclose(merged[name], stock.state_dict()[name] + 3 * b @ a, atol=1e-6)
    others = [other for other in merged if other != name]
    assert all(torch.equal(merged[other], stock.state_dict()[other]) for other in others)


def test_a_run_does_not_resume_from_matrices_of_another_rank(encoder_folder: Path, tmp_path: Path):
    trainer = start(encoder_folder, LORA, tmp_path / "a", save_at=(1,), steps=1)
    trainer.train()
    other = LORA.model_copy(update={"adapter": AdapterConfig(kind="lora", rank=8)})
    with pytest.raises(TrainingError, match="are not the 26 of this run; resume with the same"):
        resume(
            start(encoder_folder, other, tmp_path / "b", done=1), tmp_path / "a" / "checkpoint-1"
        )


def test_what_cannot_be_is_refused_in_one_line(encoder_folder: Path):
    with pytest.raises(ConfigError, match="4-bit weights need CUDA"):
        check_adapter(AdapterConfig(kind="qlora"), use_gpu=False)
    with pytest.raises(
        ConfigError, match="the package bitsandbytes is not installed; pip install bitsandbytes"
    ):
        check_adapter(AdapterConfig(kind="qlora"), use_gpu=True)
    with pytest.raises(ModelError, match="takes no adapter at .*nothing_like_it"):
        add_adapter(
            load_model(encoder_folder, EncodingConfig(), "cpu"),
            AdapterConfig(kind="lora", target_modules=("nothing_like_it",)),
        )
