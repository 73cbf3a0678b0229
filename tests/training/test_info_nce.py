"""The ranking kernel and its masks, against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from medembed.training.losses import info_nce
from medembed.training.losses.info_nce import LossByDimension, matryoshka_info_nce
from medembed.training.losses.positive_mask import find_positives


def textbook(queries, documents, targets, masked, weights, temperature):
    """The loss as the papers write it: a loop over dimensions, each prefix normalised and
    multiplied anew.
    """
    total = 0.0
    for dimension, weight in weights.items():
        q = F.normalize(queries[:, :dimension], dim=1)
        d = F.normalize(documents[:, :dimension], dim=1)
        scores = (q @ d.T / temperature).masked_fill(masked, -math.inf)
        total = total + weight * F.cross_entropy(scores, targets)
    return total / sum(weights.values())


def ours(queries, documents, targets, masked, weights, temperature) -> LossByDimension:
    return matryoshka_info_nce(
        queries,
        documents,
        targets,
        lambda first, end: masked[first:end],
        weights=weights,
        temperature=temperature,
    )


def draw(
    seed: int, sizes: tuple[int, int] = (5, 12), width: int = 24
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Embeddings of which some are alike, targets in any order, and a mask that leaves the
    targets.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for size in sizes:
        inputs.append(torch.randn(size, width, generator=generator, dtype=torch.float64) * 3)
    inputs[0][1] = inputs[0][0]
    inputs[1][3] = inputs[1][2]
    inputs[1][4] = inputs[0][0]
    targets = torch.randint(sizes[1], (sizes[0],), generator=generator)
    masked = torch.rand(sizes, generator=generator) < 0.2
    masked[torch.arange(sizes[0]), targets] = False
    return [tensor.requires_grad_() for tensor in inputs], targets, masked


def test_one_dimension_of_orthogonal_pairs_matches_its_closed_form():
    pairs = torch.eye(4, dtype=torch.float64)
    none = torch.zeros(4, 4, dtype=torch.bool)
    loss = ours(pairs, pairs, torch.arange(4), none, {4: 1.0}, 1.0)
    assert loss.total.item() == pytest.approx(math.log(1 + 3 / math.e))


@settings(max_examples=60)
@given(
    st.dictionaries(st.integers(1, 24), st.floats(0.1, 3), min_size=1, max_size=5),
    st.sampled_from([0.01, 0.05, 1.0]),
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.booleans(),
)
def test_value_and_gradient_equal_the_textbook_loop(
    weights, temperature, seed, scores_at_once, has_zeros
):
    inputs, targets, masked = draw(seed)
    if has_zeros:
        with torch.no_grad():
            inputs[0][2] = 0
            inputs[1][5] = 0
    # so that the queries come in several parts, the last one short
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info_nce, "_SCORES_ON_CPU", scores_at_once)
        patch.setattr(info_nce, "_FEWEST_ROWS", 2)
        loss = ours(*inputs, targets, masked, weights, temperature)
        with torch.no_grad():
            value = ours(*inputs, targets, masked, weights, temperature).total
    expected = textbook(*inputs, targets, masked, weights, temperature)
    assert loss.total.item() == pytest.approx(expected.item(), abs=1e-10)
    assert value == loss.total
    gradients = torch.autograd.grad(loss.total * 3, inputs)
    for gradient, other in zip(gradients, torch.autograd.grad(expected * 3, inputs), strict=True):
        assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-10)
    for dimension, alone in zip(sorted(weights), loss.by_dimension.tolist(), strict=True):
        only = textbook(*inputs, targets, masked, {dimension: 1.0}, temperature)
        assert alone == pytest.approx(only.item(), abs=1e-10)


@pytest.mark.parametrize(("autocast", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_single_precision_and_autocast_compute_the_logits_in_float32(
    autocast: bool, dtype: torch.dtype
):
    exact, targets, masked = draw(2)
    weights = {24: 1.0, 8: 1.0}
    inputs = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = ours(*inputs, targets, masked, weights, 0.01).total
    loss.backward()
    rounded = [tensor.detach().double().requires_grad_() for tensor in inputs]
    expected = textbook(*rounded, targets, masked, weights, 0.01)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for tensor, gradient in zip(inputs, torch.autograd.grad(expected, rounded), strict=True):
        assert tensor.grad is not None
        assert tensor.grad.dtype == dtype
        assert torch.allclose(tensor.grad.double(), gradient, rtol=1e-2, atol=1e-4)


@given(st.integers(0, 10_000))
def test_other_positives_of_a_query_are_masked_in_any_rows_as_by_a_loop_and_its_target_is_not(
    seed: int,
):
    generator = np.random.default_rng(seed)
    own = generator.integers(0, 5, 6)
    candidates = generator.integers(0, 6, 11)
    pairs = generator.integers(0, 6, (int(generator.integers(1, 9)), 2))
    targets = generator.integers(0, 11, 6)
    known = find_positives(
        *(torch.from_numpy(values) for values in (own, candidates, pairs, targets))
    )
    asked = {tuple(pair) for pair in pairs.tolist()}
    expected = torch.zeros(6, 11, dtype=torch.bool)
    for row, query in enumerate(own.tolist()):
        for column, document in enumerate(candidates.tolist()):
            expected[row, column] = (query, document) in asked and column != int(targets[row])
    for first, end in ((0, 6), (2, 4)):
        masked = known.of_rows(first, end)
        none = torch.zeros(end - first, 11, dtype=torch.bool)
        assert torch.equal(none if masked is None else masked, expected[first:end])
