"""Losses that are no ranking losses: each equals its plain definition, summed over unit prefixes by
weight.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.losses.by_name import make_loss
from tests.training.test_distributed import Linear

DIMENSIONS = (12, 4, 8)
WEIGHTS = (1.0, 2.0, 0.5)
SCORES = torch.tensor([0.9, 0.1, 0.5, 0.5, 0.0, 1.0])
BINARY = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
CLASSES = torch.tensor([0, 1, 0, 2, 1, 2])
TEACHER = torch.randn(6, 15, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def distance(one: Tensor, other: Tensor) -> Tensor:
    return 1 - (one * other).sum(-1)


def triplet(columns: list[Tensor], _: Tensor) -> Tensor:
    query, positive, negative = columns
    return (distance(query, positive) - distance(query, negative) + 0.2).clamp_min(0).mean()


def contrastive(columns: list[Tensor], labels: Tensor) -> Tensor:
    apart = distance(*columns)
    return torch.where(labels == 1, apart**2, (0.5 - apart).clamp_min(0) ** 2).mean() / 2


def cosine_similarity(columns: list[Tensor], labels: Tensor) -> Tensor:
    return ((1 - distance(*columns) - labels) ** 2).mean()


def batch_hard(columns: list[Tensor], labels: Tensor) -> Tensor:
    (texts,) = columns
    apart = 1 - texts @ texts.T
    losses = []
    for row, label in enumerate(labels):
        same = [
            apart[row, column]
            for column in range(len(labels))
            if labels[column] == label and column != row
        ]
        different = [apart[row, column] for column in range(len(labels)) if labels[column] != label]
        losses.append((max(same) - min(different) + 0.2).clamp_min(0))
    return torch.stack(losses).mean()


def mse(columns: list[Tensor], labels: Tensor) -> Tensor:
    return ((columns[0] - F.normalize(labels[:, : columns[0].shape[1]], dim=1)) ** 2).mean()


CASES: list[tuple[Callable[[list[Tensor], Tensor], Tensor], int, Tensor]] = [
    (triplet, 3, torch.zeros(6)),
    (contrastive, 2, BINARY),
    (cosine_similarity, 2, SCORES),
    (batch_hard, 1, CLASSES),
    (mse, 1, TEACHER),
]


@pytest.mark.parametrize(
    ("definition", "columns", "labels"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_value_and_gradient_equal_the_definition_over_all_dimensions(
    definition: Callable[[list[Tensor], Tensor], Tensor], columns: int, labels: Tensor
):
    name = definition.__name__
    guide = "folder" if name == "mse" else None
    config = TrainingConfig(
        dimensions=DIMENSIONS,
        weights=WEIGHTS,
        select_dimension=4,
        loss=LossConfig(name=name, guide=guide),
    )
    generator = torch.Generator().manual_seed(8)
    texts = [torch.randn(6, 12, generator=generator, dtype=torch.float64) for _ in range(columns)]
    model, plain = Linear(), Linear()
    loss = make_loss(config, model)
    found = loss([{"x": column} for column in texts], labels)
    embedded = [column @ plain.weight for column in texts]
    losses = {
        dimension: definition(
            [F.normalize(column[:, :dimension], dim=1) for column in embedded], labels
        )
        for dimension in DIMENSIONS
    }
    expected = (
        sum(
            weight * losses[dimension]
            for dimension, weight in zip(DIMENSIONS, WEIGHTS, strict=True)
        )
        / 3.5
    )
    # Some stock losses compare in float32.
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.by_dimension == pytest.approx(
        {key: value.item() for key, value in losses.items()}, rel=1e-6
    )
    gradients = [
        *torch.autograd.grad(found, model.parameters()),
        *torch.autograd.grad(expected, plain.parameters()),
    ]
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-7)
    assert gradients[0].abs().max() > 1e-3
