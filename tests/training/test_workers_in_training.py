"""Two gloo workers in a real trainer against one that reads as many rows: order, gradients, and
what is logged.
"""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from transformers import set_seed

from medembed.training.config import TrainingConfig
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import TrainingTexts, to_columns
from medembed.training.run.build import build_trainer, load_student, plan_run
from tests.training.small import CONFIG, SaveAt, make_examples

SETTINGS: dict[str, Any] = {
    "dimensions": (32, 16, 8),
    "accumulation_steps": 2,
    "learning_rate": 1e-3,
    "loss": {"mini_batch_size": 3},
}


def train(rank: int, world: int, model: str, folder: str) -> None:
    """Write the weights, and what was logged, to `<folder>/<world>.<rank>`."""
    if world > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
        # named by the trainer, used by nobody
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
        )
    config = TrainingConfig.model_validate(
        CONFIG.model_dump() | SETTINGS | {"batch_size": 8 // world, "workers": world}
    )
    set_seed(0)
    student = load_student(model, config)
    for module in student.encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # each worker draws its own
    texts = TrainingTexts(to_columns(make_examples()))
    plan = plan_run(texts, config, TrainingState(world), world)
    trainer = build_trainer(student, texts, config, plan, SaveAt(), f"{folder}/{world}-{rank}")
    trainer.train()
    names = ("loss", "loss/32", "loss/16", "loss/8", "learning_rate", "grad_norm")
    logged = [
        [entry.get(name, -1.0) for name in names]
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    result = {"weights": weights, "logged": torch.tensor(logged)}
    torch.save(result, f"{folder}/{world}.{rank}")
    if world > 1:
        dist.destroy_process_group()


def test_two_workers_train_as_one_that_reads_as_many_rows_and_log_the_same(
    encoder_folder: Path, tmp_path: Path
):
    train(0, 1, str(encoder_folder), str(tmp_path))
    mp.spawn(train, args=(2, str(encoder_folder), str(tmp_path)), nprocs=2)
    one = torch.load(tmp_path / "1.0", weights_only=True)
    assert len(one["logged"]) == 3
    for name in ("2.0", "2.1"):
        each = torch.load(tmp_path / name, weights_only=True)
        assert torch.allclose(each["weights"], one["weights"], atol=1e-4)
        assert torch.allclose(each["logged"], one["logged"], rtol=1e-6, atol=2e-3)
