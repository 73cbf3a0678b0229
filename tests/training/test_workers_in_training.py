"""Two gloo workers in a real trainer against one that reads as many rows: order, gradients, and
what is logged; and what they learn of a teacher.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from transformers import set_seed

from medembed.encoding.encoder import Encoder, Role
from medembed.training.config import TrainingConfig
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import TrainingTexts, to_columns
from medembed.training.rows.teacher_vectors import learn_from_teacher
from medembed.training.run.build import build_trainer, load_student, plan_run
from tests.training.small import CONFIG, SaveAt, make_examples
from tests.training.test_columns import CORPUS_ROWS, JUDGED, PROMPTS, write

SETTINGS: dict[str, Any] = {
    "dimensions": (32, 16, 8),
    "accumulation_steps": 2,
    "learning_rate": 1e-3,
    "loss": {"mini_batch_size": 3},
}


def train(rank: int, world: int, model: str, folder: str, data: str) -> None:
    """Writes the weights, what was logged, and what `learn` gives to `<folder>/<world>.<rank>`."""
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
    columns = to_columns(make_examples())
    plan = plan_run(columns, config, TrainingState(world), world)
    texts = TrainingTexts(columns)
    trainer = build_trainer(student, texts, config, plan, SaveAt(), f"{folder}/{world}-{rank}")
    trainer.train()
    names = ("loss", "loss/32", "loss/16", "loss/8", "learning_rate", "grad_norm")
    logged = [
        [entry.get(name, -1.0) for name in names]
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    found = {"weights": weights, "logged": torch.tensor(logged)} | learn(data, model)
    torch.save(found, f"{folder}/{world}.{rank}")
    if world > 1:
        dist.destroy_process_group()


def learn(data: str, teacher: str) -> dict[str, Any]:
    """What loss mse reads, and how many texts this worker gave the teacher at a time."""
    counts, encode = [], Encoder.encode

    def counting(self: Encoder, texts: list[str], role: Role) -> Any:
        counts.append(len(texts))
        return encode(self, texts, role)

    loss = {"name": "mse", "guide": teacher}
    config = TrainingConfig.model_validate(CONFIG.model_dump() | {"loss": loss})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "encode", counting)
        columns = learn_from_teacher(data, config, PROMPTS, torch.device("cpu"))
    return {"text": columns["text"], "label": torch.tensor(columns["label"]), "counts": counts}


@pytest.fixture(scope="module")
def runs(
    encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What one worker, and each of two, wrote."""
    folder = tmp_path_factory.mktemp("runs")
    data = write(folder / "data", CORPUS_ROWS, JUDGED).uri
    train(0, 1, str(encoder_folder), str(folder), data)
    mp.spawn(train, args=(2, str(encoder_folder), str(folder), data), nprocs=2)
    return {name: torch.load(folder / name, weights_only=True) for name in ("1.0", "2.0", "2.1")}


def test_two_workers_train_as_one_that_reads_as_many_rows_and_log_the_same(
    runs: dict[str, dict[str, Any]],
):
    one, *two = runs.values()
    assert len(one["logged"]) == 3
    for each in two:
        assert torch.allclose(each["weights"], one["weights"], atol=1e-4)
        assert each["logged"].tolist() == [
            pytest.approx(row, abs=2e-3) for row in one["logged"].tolist()
        ]


def test_workers_share_the_texts_that_a_teacher_encodes_and_all_learn_what_one_alone_would(
    runs: dict[str, dict[str, Any]],
):
    one, *two = runs.values()
    assert one["text"] == [
        "d: A0",
        "d: A1",
        "d: B",
        "d: C",
        "d: N",
        "q: text of q1",
        "q: text of q2",
    ]
    assert [each["counts"] for each in two] == [[3, 3, 1, 3], [3, 3, 1, 2]], (
        "what loading compares, queries, documents"
    )
    for each in two:
        assert each["text"] == one["text"]
        assert torch.allclose(each["label"], one["label"], atol=1e-6)
