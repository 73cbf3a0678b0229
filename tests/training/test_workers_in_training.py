"""Two gloo workers in a real trainer against one that reads as many rows: order, gradients, and what is logged."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from transformers import set_seed

from medembed.training.batches import to_columns
from medembed.training.config import TrainingConfig
from medembed.training.loop import build_trainer, load_student, plan_run
from medembed.training.state import TrainingState
from tests.training.small import CONFIG, SaveAt, make_examples

SETTINGS: dict[str, Any] = {
    "dimensions": (32, 16, 8), "length_grouped": True, "accumulation_steps": 2, "learning_rate": 1e-3,
    "loss": {"name": "cached_multiple_negatives", "mini_batch_size": 3, "dimensions_per_step": 2},
}  # fmt: skip


def train(rank: int, world: int, model: str, folder: str) -> None:
    """Writes the weights and what was logged to `<folder>/<world>.<rank>`."""
    if world > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}  # named by the trainer, used by nobody
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    config = TrainingConfig.model_validate(
        CONFIG.model_dump() | SETTINGS | {"batch_size": 8 // world, "workers": world}
    )
    set_seed(0)
    encoder, adapter = load_student(model, config)
    for module in encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # each worker draws its own
    columns = to_columns(make_examples(), "", "")
    plan = plan_run(columns, config, TrainingState(world), world)
    trainer = build_trainer(encoder, columns, config, plan, SaveAt(), f"{folder}/{world}-{rank}", adapter)
    trainer.train()
    names = ("loss", "loss/32", "loss/16", "loss/8", "learning_rate", "grad_norm")
    logged = [[entry.get(name, -1.0) for name in names] for entry in trainer.state.log_history if "loss" in entry]
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    torch.save({"weights": weights, "logged": torch.tensor(logged)}, f"{folder}/{world}.{rank}")
    if world > 1:
        dist.destroy_process_group()


def test_two_workers_train_as_one_that_reads_as_many_rows_and_log_the_same(encoder_folder: Path, tmp_path: Path):
    train(0, 1, str(encoder_folder), str(tmp_path))
    mp.spawn(train, args=(2, str(encoder_folder), str(tmp_path)), nprocs=2)
    one, *two = (torch.load(tmp_path / name, weights_only=True) for name in ("1.0", "2.0", "2.1"))
    assert len(one["logged"]) == 3
    for each in two:
        assert torch.allclose(each["weights"], one["weights"], atol=1e-4)
        assert each["logged"].tolist() == [pytest.approx(row, abs=2e-3) for row in one["logged"].tolist()]
