"""Each loss that does not rank equals its definition, summed over unit prefixes by weight."""

from collections.abc import Callable
from typing import Any

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
TEACHER = torch.randn(6, 15, generator=torch.Generator().manual_seed(4))


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
        is_same = labels == label
        different = apart[row][~is_same]
        is_same[row] = False
        losses.append((apart[row][is_same].max() - different.min() + 0.2).clamp_min(0))
    return torch.stack(losses).mean()


def distill(columns: list[Tensor], labels: Tensor) -> Tensor:
    """Sum the three targets text by text, each with the other texts of the batch."""
    (own,) = columns
    given = F.normalize(TEACHER[labels][:, : own.shape[1]].double(), dim=1)
    total = torch.zeros(())
    for row in range(len(own)):
        others = [number for number in range(len(own)) if number != row]
        ranked = (given[others] @ given[row] / 0.1).softmax(0)
        learnt = (own[others] @ own[row] / 0.1).softmax(0)
        errors = own[others] @ own[row] - given[others] @ given[row]
        margins = [(one - other) ** 2 for one in errors for other in errors]
        total = total + 2 * distance(own[row], given[row])
        total = total + 0.5 * (ranked * (ranked / learnt).log()).sum()
        total = total + 3 * torch.stack(margins).mean()
    return total / len(own)


CASES: list[tuple[Callable[[list[Tensor], Tensor], Tensor], int, Tensor]] = [
    (triplet, 3, torch.zeros(6)),
    (contrastive, 2, BINARY),
    (cosine_similarity, 2, SCORES),
    (batch_hard, 1, CLASSES),
    (distill, 1, torch.tensor([4, 0, 5, 2, 1, 3])),
]


@pytest.mark.parametrize(
    ("definition", "columns", "labels"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_value_and_gradient_equal_the_definition_over_all_dimensions(
    definition: Callable[[list[Tensor], Tensor], Tensor], columns: int, labels: Tensor
):
    name = definition.__name__
    options: dict[str, Any] = {}
    if name == "distill":
        targets = {"embeddings": 2, "similarities": 0.5, "margins": 3}
        options = {"guide": "folder", "targets": targets}
    config = TrainingConfig(
        dimensions=DIMENSIONS,
        weights=WEIGHTS,
        select_dimension=4,
        temperature=0.1,
        loss=LossConfig.model_validate({"name": name, **options}),
    )
    generator = torch.Generator().manual_seed(8)
    texts = [torch.randn(6, 12, generator=generator, dtype=torch.float64) for _ in range(columns)]
    model = Linear()
    loss = make_loss(config, model, vectors=TEACHER.numpy())
    value = loss([{"x": column} for column in texts], labels)
    expected = torch.zeros(())
    for dimension, weight in zip(DIMENSIONS, WEIGHTS, strict=True):
        prefixes = [F.normalize((text @ model.weight)[:, :dimension], dim=1) for text in texts]
        alone = definition(prefixes, labels)
        # Some stock losses compare in float32.
        assert loss.by_dimension[dimension].item() == pytest.approx(alone.item(), rel=1e-6)
        expected = expected + weight / sum(WEIGHTS) * alone
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, model.weight)
    (expected_gradient,) = torch.autograd.grad(expected, model.weight)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)
    assert gradient.abs().max() > 1e-3
