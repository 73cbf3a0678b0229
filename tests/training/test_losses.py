import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medembed.training.losses import known_positives, matryoshka_info_nce


def textbook(queries, documents, targets, masked, dimensions, weights, temperature):
    """The loss as the papers write it: a loop over dimensions, each prefix normalised and multiplied anew."""
    total = 0.0
    for dimension, weight in zip(dimensions, weights, strict=True):
        q, d = F.normalize(queries[:, :dimension], dim=1), F.normalize(documents[:, :dimension], dim=1)
        total = total + weight * F.cross_entropy((q @ d.T / temperature).masked_fill(masked, -math.inf), targets)
    return total / sum(weights)


def test_one_dimension_of_orthogonal_pairs_matches_its_closed_form():
    pairs = torch.eye(4, dtype=torch.float64)
    loss = matryoshka_info_nce(
        pairs,
        pairs,
        torch.arange(4),
        torch.zeros(4, 4, dtype=torch.bool),
        dimensions=[4],
        weights=[1.0],
        temperature=1.0,
    )
    assert loss.item() == pytest.approx(math.log(1 + 3 / math.e))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 24), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(0.1, 3), min_size=5, max_size=5),
    st.integers(0, 10_000),
)
def test_value_and_gradient_equal_the_textbook_loop(dimensions: list[int], weights: list[float], seed: int):
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(n, 24, generator=generator, dtype=torch.float64, requires_grad=True) for n in (5, 12)]
    targets = torch.arange(5)
    masked = torch.rand(5, 12, generator=generator) < 0.2
    masked[targets, targets] = False
    settings_ = (dimensions, weights[: len(dimensions)], 0.05)
    ours = matryoshka_info_nce(
        *inputs, targets, masked, dimensions=settings_[0], weights=settings_[1], temperature=settings_[2]
    )
    theirs = textbook(*inputs, targets, masked, *settings_)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-10)
    for one, other in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_duplicates_and_other_positives_of_a_query_are_masked_and_its_target_is_not():
    # Rows: query 1 -> document 10, query 2 -> 11, query 1 again -> 12; mined negatives 11, 13, 14.
    known = known_positives(
        query_ids=torch.tensor([1, 2, 1]),
        positive_ids=torch.tensor([10, 11, 12]),
        document_ids=torch.tensor([10, 11, 12, 11, 13, 14]),
        own_queries=torch.tensor([1, 2, 1]),
        targets=torch.arange(3),
    )
    assert known.tolist() == [
        [False, False, True, False, False, False],
        [False, False, False, True, False, False],
        [True, False, False, False, False, False],
    ]
