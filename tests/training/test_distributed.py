"""The ranking loss over several gloo workers against one process with the joined batch, in value
and gradient.
"""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from medembed.training.losses.ranking_loss import MatryoshkaRankingLoss
from medembed.training.rows.batch_columns import NO_DOCUMENT

ROWS = 8
WIDTH = 12
WEIGHTS = {12: 1.0, 4: 2.0, 7: 0.5}


class Joined:
    """Stands in for what holds long texts: four of them whatever the number of workers; the start
    has other vectors.
    """

    weight = 3.0

    def join(self, rows: int, step: int) -> Tensor:
        own = 4 * rows // ROWS
        texts = torch.randn(
            4, WIDTH, generator=torch.Generator().manual_seed(step), dtype=torch.float64
        )
        first = own * (dist.get_rank() if dist.is_initialized() else 0)
        return texts[first : first + own]

    def read(self, texts: Tensor, device: torch.device) -> dict[str, Tensor]:
        return {"x": texts}

    def embed(self, texts: Tensor, device: torch.device) -> Tensor:
        return (texts * 2 - 1).roll(1, dims=1)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "symmetric": {"symmetric": True},
    "cached": {"mini_batch_size": 3},
    "cached and symmetric": {"symmetric": True, "mini_batch_size": 3},
    "pairs known beforehand": {
        "symmetric": True,
        "pairs": torch.tensor([[0, 12], [4, 15], [5, 14], [9, 9]]),
    },
    "held": {"symmetric": True, "hold": Joined()},
    "held and cached": {"symmetric": True, "hold": Joined(), "mini_batch_size": 3},
}


class Linear(torch.nn.Module):
    """Stands in for an encoder: one weight matrix, float64, no dropout."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(
            torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
        )

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["x"] @ self.weight}


class Alike:
    """Stands in for a guide: embeds every column by a fixed matrix."""

    def embed(self, features: list[dict[str, Tensor]]) -> list[Tensor]:
        matrix = torch.randn(
            WIDTH, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64
        )
        return [torch.nn.functional.normalize(column["x"] @ matrix, dim=1) for column in features]


def batch() -> tuple[list[Tensor], Tensor]:
    """Columns query, positive, negative of ROWS rows, and labels with duplicates, shared queries
    and a gap.
    """
    generator = torch.Generator().manual_seed(1)
    columns = [torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]
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


def step(
    columns: list[Tensor], labels: Tensor, name: str = "plain", guide: Any = None
) -> tuple[float, Tensor]:
    """(loss, gradient of the weights), by DistributedDataParallel if there are several workers."""
    inner = Linear()
    model = DistributedDataParallel(inner) if dist.is_initialized() else inner
    loss = MatryoshkaRankingLoss(model, WEIGHTS, 0.1, guide=guide, **SETTINGS[name])
    loss.step = 3
    value = loss([{"x": column} for column in columns], labels)
    value.backward()
    assert inner.weight.grad is not None
    return value.item(), inner.weight.grad


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
    )
    columns, labels = batch()
    own = slice(rank * ROWS // world, (rank + 1) * ROWS // world)
    results = {}
    for name in (*SETTINGS, "guided"):
        guide = Alike() if name == "guided" else None
        parts = [column[own] for column in columns]
        value, gradient = step(parts, labels[own], "symmetric" if guide else name, guide)
        mean = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(mean)
        results[name] = (mean.item() / world, gradient)
    if rank == 0:
        torch.save(results, f"{folder}/result.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_workers_equal_one_process_with_the_joined_batch(world: int, tmp_path: Path):
    # Workers are forked from a process that has imported what they need, once for both tests.
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["medembed.training.losses.ranking_loss"]
    )
    mp.start_processes(work, args=(world, str(tmp_path)), nprocs=world, start_method="forkserver")
    results = torch.load(tmp_path / "result.pt")
    for name in SETTINGS:
        value, gradient = step(*batch(), name)
        assert abs(results[name][0] - value) < 1e-9, name
        assert torch.allclose(results[name][1], gradient, rtol=0, atol=1e-9), name
    value, gradient = step(*batch(), "symmetric", Alike())
    assert abs(results["guided"][0] - value) < 1e-9
    assert torch.allclose(results["guided"][1], gradient, rtol=0, atol=1e-9)


def test_a_missing_negative_takes_no_part_in_the_loss():
    columns, labels = batch()
    before = step(columns, labels)[0]
    columns[2][5] += 100
    assert step(columns, labels)[0] == before
    columns[2][4] += 100
    assert step(columns, labels)[0] != before
