import math
from pathlib import Path
from typing import Any

import pytest
import torch

from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.options import AdapterConfig
from medembed.training.run.build import read_together
from medembed.training.run.inputs import describe_start
from tests.training.small import CONFIG, logged, start


@pytest.mark.parametrize(
    ("schedule", "falls"),
    [
        ("linear", lambda x: 1 - x),
        ("cosine", lambda x: (1 + math.cos(math.pi * x)) / 2),
        ("constant", lambda x: 1),
    ],
)
def test_the_rate_rises_to_its_peak_and_falls_as_the_schedule_says(
    encoder_folder: Path, tmp_path: Path, schedule: str, falls: Any
):
    config = CONFIG.model_copy(update={"schedule": schedule, "warmup": 0.25})
    trainer = start(encoder_folder, config, tmp_path, steps=8)
    trainer.train()
    expected = [0.0, 0.5] + [falls(step / 6) for step in range(6)]
    assert logged(trainer, "learning_rate") == pytest.approx([1e-2 * share for share in expected])


@pytest.mark.parametrize("adapter", [AdapterConfig(), AdapterConfig(kind="lora", rank=4)])
def test_activation_checkpointing_changes_nothing_but_memory(
    encoder_folder: Path, tmp_path: Path, adapter: AdapterConfig
):
    losses = []
    for is_on in (False, True):
        config = CONFIG.model_copy(update={"activation_checkpointing": is_on, "adapter": adapter})
        trainer = start(encoder_folder, config, tmp_path, steps=3)
        trainer.train()
        assert trainer.model.transformers_model.is_gradient_checkpointing == is_on
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_accumulated_batches_make_one_step_and_their_gradients_a_mean(
    encoder_folder: Path, tmp_path: Path
):
    config = CONFIG.model_copy(update={"accumulation_steps": 3, "max_grad_norm": 0.0})
    trainer = start(encoder_folder, config, tmp_path, steps=2)
    model = trainer.model.eval()
    gradients = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for batch in list(trainer.get_train_dataloader())[:3]:
        model.zero_grad()
        trainer.compute_loss(model, batch).backward()
        for total, parameter in zip(gradients, model.parameters(), strict=True):
            if parameter.grad is not None:
                total += parameter.grad / 3
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    trainer = start(encoder_folder, config, tmp_path, steps=2)
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trainer.train()
    assert len(logged(trainer, "loss")) == 2
    assert logged(trainer, "grad_norm")[0] == pytest.approx(norm, rel=1e-4)


def test_the_start_says_that_accumulation_adds_no_negatives():
    config = TrainingConfig(batch_size=4, accumulation_steps=16, workers=2)
    lines = list(describe_start(read_together(10_000, config, 2), 78, 1, config))
    assert lines[0] == "train: 10,000 examples, 78 steps of 128 (16 batches of 8) on 2 workers"
    assert "temperature 0.05, up to 15 negatives per query" in lines[1]
    assert "adds no negatives: a query sees 8 examples, not 128" in lines[2]
    assert lines[3] == "       a pass leaves out 16 examples, others each time"
    plain = TrainingConfig()
    assert len(list(describe_start(read_together(6_400, plain, 1), 100, 1, plain))) == 2


def test_the_start_counts_negatives_only_for_the_loss_that_ranks():
    config = TrainingConfig(accumulation_steps=2, loss=LossConfig(name="triplet"))
    lines = "\n".join(describe_start(read_together(1_000, config, 1), 7, 1, config))
    assert "loss triplet, dimensions" in lines
    assert "negatives" not in lines
    assert "temperature" not in lines


def test_frozen_words_stay_to_the_bit_and_cost_no_moments(encoder_folder: Path, tmp_path: Path):
    tables = {}
    for is_frozen in (False, True):
        config = CONFIG.model_copy(update={"freeze_words": is_frozen})
        trainer = start(encoder_folder, config, tmp_path, steps=2)
        table = trainer.model[0].model.get_input_embeddings().weight
        before = table.detach().clone()
        norm = trainer.model[0].model.encoder.layer[0].output.LayerNorm.weight
        norm_before = norm.detach().clone()
        trainer.train()
        assert not torch.equal(norm, norm_before)
        assert torch.equal(table, before) == is_frozen
        tables[is_frozen] = table in trainer.optimizer.state
    assert tables == {False: True, True: False}
