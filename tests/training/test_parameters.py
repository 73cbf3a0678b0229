from pathlib import Path
from typing import Any

import pytest
import torch

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.errors import ConfigError
from medembed.training.model.parameters import find_stack, freeze
from tests.training.small import CONFIG, start


def groups_of(trainer: Any) -> dict[str, tuple[float, float]]:
    """{parameter: (learning rate, weight decay)} as the optimiser has them."""
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    found = [
        (names[id(parameter)], (group["lr"], group["weight_decay"]))
        for group in trainer.optimizer.param_groups
        for parameter in group["params"]
    ]
    assert len(found) == len(dict(found)), "no parameter is in two groups"
    return dict(found)


def test_a_stack_has_its_parts_from_the_lowest_to_the_highest(encoder_folder: Path):
    stack = find_stack(load_model(encoder_folder, EncodingConfig(), "cpu"))
    assert all(".embeddings." in name for name in stack.embeddings)
    assert len(stack.embeddings) == 5
    assert [{name.split(".layer.")[1][0] for name in layer} for layer in stack.layers] == [
        {"0"},
        {"1"},
    ]
    assert [len(layer) for layer in stack.layers] == [16, 16]
    assert stack.head == ("0.model.pooler.dense.weight", "0.model.pooler.dense.bias")


def test_each_layer_learns_at_its_own_rate_and_only_matrices_decay(
    encoder_folder: Path, tmp_path: Path
):
    trainer = start(
        encoder_folder,
        CONFIG.model_copy(update={"layer_decay": 0.5, "weight_decay": 0.1}),
        tmp_path,
    )
    trainer.create_optimizer()
    found = groups_of(trainer)
    assert set(found) == {name for name, _ in trainer.model.named_parameters()}
    for name, (rate, decay) in found.items():
        height = (
            3
            if ".embeddings." in name
            else 2 - int(name.split(".layer.")[1][0])
            if ".layer." in name
            else 1
        )
        assert rate == pytest.approx(1e-2 * 0.5 ** (height - 1)), name
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1), name


def test_without_layer_decay_all_learn_at_one_rate(encoder_folder: Path, tmp_path: Path):
    trainer = start(encoder_folder, CONFIG, tmp_path)
    trainer.create_optimizer()
    assert {rate for rate, _ in groups_of(trainer).values()} == {1e-2}


@pytest.mark.parametrize(
    ("lowest", "parts"), [(0, ("embeddings",)), (1, ("embeddings", "layer.0"))]
)
@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_frozen_parts_keep_every_bit_and_the_others_learn(
    encoder_folder: Path, tmp_path: Path, lowest: int, parts: tuple[str, ...], layer_decay: float
):
    config = CONFIG.model_copy(
        update={"freeze": lowest, "layer_decay": layer_decay, "weight_decay": 0.5}
    )
    trainer = start(encoder_folder, config, tmp_path, steps=2)
    before = {
        name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()
    }
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        is_frozen = any(f".{part}." in name for part in parts)
        if "pooler" not in name:  # no loss reaches it
            assert torch.equal(parameter, before[name]) == is_frozen, name


def test_to_freeze_all_layers_is_refused(encoder_folder: Path):
    with pytest.raises(
        ConfigError, match="training.freeze: found 2, but the model has 2 layers .* choose 0 to 1"
    ):
        freeze(load_model(encoder_folder, EncodingConfig(), "cpu"), 2)
