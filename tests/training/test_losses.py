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
from medembed.training.losses.info_nce import info_nce_by_dimension, matryoshka_info_nce
from medembed.training.losses.known_positives import find_known
from medembed.training.losses.nested import Nested


def textbook(queries, documents, targets, masked, dimensions, weights, temperature):
    """The loss as the papers write it: a loop over dimensions, each prefix normalised and
    multiplied anew.
    """
    total = 0.0
    for dimension, weight in zip(dimensions, weights, strict=True):
        q, d = (
            F.normalize(queries[:, :dimension], dim=1),
            F.normalize(documents[:, :dimension], dim=1),
        )
        total = total + weight * F.cross_entropy(
            (q @ d.T / temperature).masked_fill(masked, -math.inf), targets
        )
    return total / sum(weights)


def draw(
    seed: int, sizes: tuple[int, int] = (5, 12), width: int = 24
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Embeddings of which some are alike, targets in any order, and a mask that leaves the
    targets.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(size, width, generator=generator, dtype=torch.float64) * 3 for size in sizes
    ]
    inputs[0][1], inputs[1][3], inputs[1][4] = inputs[0][0], inputs[1][2], inputs[0][0]  # ties
    targets = torch.randint(sizes[1], (sizes[0],), generator=generator)
    masked = torch.rand(sizes, generator=generator) < 0.2
    masked[torch.arange(sizes[0]), targets] = False
    return [tensor.requires_grad_() for tensor in inputs], targets, masked


def test_one_dimension_of_orthogonal_pairs_matches_its_closed_form():
    pairs, none = torch.eye(4, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.bool)
    loss = matryoshka_info_nce(
        pairs, pairs, torch.arange(4), none, dimensions=[4], weights=[1.0], temperature=1.0
    )
    assert loss.item() == pytest.approx(math.log(1 + 3 / math.e))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 24), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(0.1, 3), min_size=5, max_size=5),
    st.sampled_from([0.01, 0.05, 1.0]),
    st.integers(0, 10_000),
    st.integers(1, 40),
)
def test_value_and_gradient_equal_the_textbook_loop(
    dimensions, weights, temperature, seed, scores_at_once
):
    inputs, targets, masked = draw(seed)
    weights = weights[: len(dimensions)]
    # so that the queries come in several parts, the last one short
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info_nce, "_SCORES_ON_CPU", scores_at_once)
        patch.setattr(info_nce, "_FEWEST_ROWS", 2)
        ours = matryoshka_info_nce(
            *inputs,
            targets,
            masked,
            dimensions=dimensions,
            weights=weights,
            temperature=temperature,
        )
    theirs = textbook(*inputs, targets, masked, dimensions, weights, temperature)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-10)
    found = torch.autograd.grad(ours * 3, inputs)
    for one, other in zip(found, torch.autograd.grad(theirs * 3, inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_an_embedding_of_zeros_has_the_textbook_gradient_too():
    inputs, targets, masked = draw(0)
    with torch.no_grad():
        inputs[0][2], inputs[1][5] = 0, 0
    settings_ = {"dimensions": [24, 3], "weights": [1.0, 2.0], "temperature": 0.05}
    ours = torch.autograd.grad(matryoshka_info_nce(*inputs, targets, masked, **settings_), inputs)
    theirs = torch.autograd.grad(textbook(*inputs, targets, masked, *settings_.values()), inputs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-10)


def test_losses_of_dimensions_come_in_the_order_of_the_dimensions():
    inputs, targets, masked = draw(1)
    _, losses = info_nce_by_dimension(
        *inputs,
        targets,
        lambda *rows: masked[slice(*rows)],
        dimensions=[3, 24, 8],
        weights=[1, 2, 3],
        temperature=0.1,
    )
    alone = [
        textbook(*inputs, targets, masked, [dimension], [1.0], 0.1).item()
        for dimension in (3, 24, 8)
    ]
    assert losses.tolist() == pytest.approx(alone)


@pytest.mark.parametrize(("autocast", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_single_precision_and_autocast_compute_the_logits_in_float32(
    autocast: bool, dtype: torch.dtype
):
    exact, targets, masked = draw(2)
    settings_ = {"dimensions": [24, 8], "weights": [1.0, 1.0], "temperature": 0.01}
    inputs = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = matryoshka_info_nce(*inputs, targets, masked, **settings_)
    loss.backward()
    rounded = [tensor.detach().double().requires_grad_() for tensor in inputs]
    expected = textbook(*rounded, targets, masked, *settings_.values())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for tensor, gradient in zip(inputs, torch.autograd.grad(expected, rounded), strict=True):
        assert tensor.grad is not None
        assert tensor.grad.dtype == dtype
        assert torch.allclose(tensor.grad.double(), gradient, rtol=1e-2, atol=1e-4)


def test_a_value_without_gradient_is_the_same():
    inputs, targets, masked = draw(3)
    settings_ = {"dimensions": [8, 24], "weights": [1.0, 1.0], "temperature": 0.05}
    with torch.no_grad():
        value = matryoshka_info_nce(*inputs, targets, masked, **settings_)
    assert value.item() == pytest.approx(
        textbook(*inputs, targets, masked, *settings_.values()).item(), abs=1e-10
    )


def test_duplicates_and_other_positives_of_a_query_are_masked_and_its_target_is_not():
    # Rows: query 1 -> document 10, query 2 -> 11, query 1 again -> 12; mined negatives 11, 13, 14.
    pairs = torch.tensor([[1, 10], [2, 11], [1, 12]])
    known = find_known(pairs[:, 0], torch.tensor([10, 11, 12, 11, 13, 14]), pairs, torch.arange(3))
    masked = known.mask(0, 3)
    assert masked is not None
    assert masked.tolist() == [
        [False, False, True, False, False, False],
        [False, False, False, True, False, False],
        [True, False, False, False, False, False],
    ]
    part = known.mask(1, 2)
    assert part is not None
    assert part.tolist() == [[False, False, False, True, False, False]]


@given(st.integers(0, 10_000))
def test_known_entries_are_those_of_a_loop_over_all_entries(seed: int):
    generator = np.random.default_rng(seed)
    own, candidates = generator.integers(0, 5, 6), generator.integers(0, 6, 11)
    pairs, targets = (
        generator.integers(0, 6, (int(generator.integers(1, 9)), 2)),
        generator.integers(0, 11, 6),
    )
    known = find_known(*(torch.from_numpy(values) for values in (own, candidates, pairs, targets)))
    asked = {tuple(pair) for pair in pairs.tolist()}
    expected = [
        [
            (query, document) in asked and column != target
            for column, document in enumerate(candidates.tolist())
        ]
        for query, target in zip(own.tolist(), targets.tolist(), strict=True)
    ]
    masked = known.mask(0, 6)
    assert (masked.tolist() if masked is not None else [[False] * 11] * 6) == expected


def test_a_step_draws_the_same_dimensions_everywhere_always_the_widest_and_weighs_the_others_up():
    nested = Nested.of((64, 16, 32, 8), (1.0, 2.0, 3.0, 4.0), per_step=2, seed=5)
    steps = [nested.draw(step) for step in range(300)]
    torch.manual_seed(1)
    assert steps == [nested.draw(step) for step in range(300)]
    assert all(len(drawn) == 2 and drawn[-1] == (64, 1.0) for drawn in steps)
    sums = {
        dimension: sum(w for drawn in steps for d, w in drawn if d == dimension) / 300
        for dimension in (16, 32, 8)
    }
    assert sums == pytest.approx({16: 2.0, 32: 3.0, 8: 4.0}, rel=0.25)
    assert steps != [
        Nested.of(nested.dimensions, nested.weights, 2, seed=6).draw(step) for step in range(300)
    ]
    assert Nested.of((64, 8)).draw(3) == [(8, 1.0), (64, 1.0)]
