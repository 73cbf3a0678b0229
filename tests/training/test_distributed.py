"""The loss over two gloo workers against one process with the joined batch, in value and gradient."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from medembed.training.batches import NO_DOCUMENT
from medembed.training.losses import MatryoshkaRankingLoss

ROWS, WIDTH = 4, 12


class Linear(torch.nn.Module):
    """Stands in for an encoder: one weight matrix, float64, no dropout."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["x"] @ self.weight}


def batch() -> tuple[list[torch.Tensor], torch.Tensor]:
    """Columns query, positive, negative of 2 x ROWS rows, and labels with duplicates, shared queries and a gap."""
    generator = torch.Generator().manual_seed(1)
    columns = [torch.randn(2 * ROWS, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]
    labels = torch.tensor(
        [
            [0, 10, 20],
            [1, 11, 10],
            [2, 12, 21],
            [0, 13, 22],
            [3, 10, 23],
            [4, 14, NO_DOCUMENT],
            [5, 15, 12],
            [0, 16, 24],
        ]
    )
    return columns, labels


def step(columns: list[torch.Tensor], labels: torch.Tensor) -> tuple[float, torch.Tensor]:
    model = Linear()
    loss = MatryoshkaRankingLoss(model, (12, 4), (1.0, 2.0), 0.1)([{"x": column} for column in columns], labels)
    loss.backward()
    assert model.weight.grad is not None
    return loss.item(), model.weight.grad


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    columns, labels = batch()
    own = slice(rank * ROWS, (rank + 1) * ROWS)
    value, gradient = step([column[own] for column in columns], labels[own])
    mean = torch.tensor(value, dtype=torch.float64)
    for tensor in (mean, gradient):  # what DistributedDataParallel does with gradients
        dist.all_reduce(tensor)
        tensor /= 2
    if rank == 0:
        torch.save({"value": mean, "gradient": gradient}, f"{folder}/result.pt")
    dist.destroy_process_group()


def test_two_workers_equal_one_process_with_the_joined_batch(tmp_path: Path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "result.pt")
    value, gradient = step(*batch())
    assert abs(found["value"].item() - value) < 1e-9
    assert torch.allclose(found["gradient"], gradient, atol=1e-9)


def test_a_missing_negative_takes_no_part_in_the_loss():
    columns, labels = batch()
    before = step(columns, labels)[0]
    columns[2][5] += 100
    assert step(columns, labels)[0] == before
