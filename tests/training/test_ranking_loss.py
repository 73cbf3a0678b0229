"""The ranking loss in one process: directions, caching, guide, what it masks."""

import math
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch.nn import functional as F

from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.losses.by_name import make_loss
from medembed.training.losses.guide import Guide
from medembed.training.losses.ranking_loss import MatryoshkaRankingLoss
from medembed.training.rows.batch_columns import to_columns
from tests.tiny import make_encoder
from tests.training.test_distributed import SETTINGS, WEIGHTS, Alike, Joined, Linear, batch, step

EXAMPLES = [
    {
        "query": f"{sign} {number}",
        "positive_id": sign,
        "positive": f"the {sign}",
        "negative_ids": ["x"],
        "negatives": ["skin rash"],
    }
    for number, sign in enumerate(
        ["heart pain", "lung bleeding", "eye itching", "heart pain", "foot numbness"]
    )
]


def loop(masked: torch.Tensor, rows: int, columns: list[int], weight: torch.Tensor) -> float:
    """The loss of `batch` written out: own rows of one column against all rows of others, at three
    dimensions.
    """
    texts = [column @ weight for column in batch()[0]]
    total = 0.0
    for dimension, share in WEIGHTS.items():
        own = F.normalize(texts[rows][:, :dimension], dim=1)
        others = F.normalize(torch.cat([texts[column] for column in columns])[:, :dimension], dim=1)
        scores = (own @ others.T / 0.1).masked_fill(masked, -math.inf)
        total += share / 3.5 * F.cross_entropy(scores, torch.arange(8)).item()
    return total


def known(own: list[int], others: list[int], pairs: set[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(
        [
            [
                ((one, other) in pairs or other < 0) and column != row
                for column, other in enumerate(others)
            ]
            for row, one in enumerate(own)
        ]
    )


def test_both_directions_equal_a_loop_that_masks_by_hand():
    _, labels = batch()
    queries, positives, negatives = labels.T.tolist()
    pairs = set(zip(queries, positives, strict=True))
    weight = Linear().weight.detach()
    forward = loop(known(queries, positives + negatives, pairs), 0, [1, 2], weight)
    backward = loop(
        known(positives, queries, {(document, query) for query, document in pairs}), 1, [0], weight
    )
    assert step(*batch())[0] == pytest.approx(forward, abs=1e-12)
    assert step(*batch(), "symmetric")[0] == pytest.approx((forward + backward) / 2, abs=1e-12)


def test_a_pair_that_is_known_beforehand_is_masked_though_no_row_of_the_batch_names_it():
    _, labels = batch()
    queries, positives, negatives = labels.T.tolist()
    pairs = {tuple(pair) for pair in SETTINGS["pairs known beforehand"]["pairs"].tolist()}
    masked = known(queries, positives + negatives, pairs)
    assert masked[5, 6]
    reverse = known(positives, queries, {(document, query) for query, document in pairs})
    weight = Linear().weight.detach()
    expected = (loop(masked, 0, [1, 2], weight) + loop(reverse, 1, [0], weight)) / 2
    assert step(*batch(), "pairs known beforehand")[0] == pytest.approx(expected, abs=1e-12)


def test_a_guide_masks_what_it_finds_closer_than_the_positive():
    columns, labels = batch()
    queries, positives, negatives = labels.T.tolist()
    q, p, n = Alike().embed([{"x": column} for column in columns])
    closer = q @ torch.cat([p, n]).T > (q * p).sum(1, keepdim=True)
    masked = known(queries, positives + negatives, set(zip(queries, positives, strict=True)))
    masked |= closer
    masked[torch.arange(8), torch.arange(8)] = False
    expected = loop(masked, 0, [1, 2], Linear().weight.detach())
    assert step(*batch(), guide=Alike())[0] == pytest.approx(expected, abs=1e-12)
    assert closer.sum() > 20


def test_what_holds_joined_texts_is_their_mean_cosine_distance_to_the_start_at_each_dimension():
    columns, labels = batch()
    joined = Joined().join(len(labels), step=3)
    now = joined @ Linear().weight.detach()
    before = Joined().embed(joined, labels.device)
    distance = 0.0
    for dimension, share in WEIGHTS.items():
        cosines = F.cosine_similarity(now[:, :dimension], before[:, :dimension])
        distance += share / 3.5 * (1 - cosines).mean().item()
    plain = step(columns, labels, "symmetric")[0]
    assert distance > 0.1
    assert step(columns, labels, "held")[0] == pytest.approx(plain + 3 * distance, abs=1e-12)


@pytest.mark.parametrize("mini_batch_size", [1, 3, 8, 100])
@pytest.mark.parametrize("name", ["plain", "symmetric", "held"])
def test_cached_gradients_equal_uncached_ones(name: str, mini_batch_size: int):
    value, gradient = step(*batch(), name)
    model = Linear()
    settings = SETTINGS[name] | {"mini_batch_size": mini_batch_size}
    loss = MatryoshkaRankingLoss(model, WEIGHTS, 0.1, **settings)
    loss.step = 3
    cached = loss([{"x": column} for column in batch()[0]], batch()[1])
    (cached * 2).backward()  # as a gradient scaler would
    assert cached.item() == pytest.approx(value, abs=1e-12)
    assert model.weight.grad is not None
    assert torch.allclose(model.weight.grad, 2 * gradient, rtol=0, atol=1e-10)
    assert set(loss.by_dimension) == {12, 4, 7}


def test_cached_gradients_belong_to_the_dropout_of_the_first_pass(encoder_folder: Path):
    """A mini-batch as large as the batch draws the same dropout as no caching, if the second pass
    draws it again.
    """
    gradients = []
    values = []
    for loss_config in (LossConfig(), LossConfig(mini_batch_size=5)):
        model = SentenceTransformer(str(encoder_folder), device="cpu").train()
        config = TrainingConfig(dimensions=(32, 8), select_dimension=8, loss=loss_config)
        columns = to_columns(EXAMPLES)
        loss = make_loss(config, model, columns["label"], ["an itching eye", "the skin bleeds"])
        torch.manual_seed(3)
        features = [model.preprocess(columns[name]) for name in ("query", "positive", "negative_0")]
        value = loss(features, torch.tensor(columns["label"]))
        torch.manual_seed(99)
        value.backward()
        values.append(value.item())
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert torch.allclose(*gradients, atol=1e-6)
    assert gradients[0].abs().max() > 0.01


def test_a_guide_reads_other_tokens_by_decoding_and_gets_its_own_prompt(
    prompted_folder: Path, tmp_path: Path
):
    student = SentenceTransformer(str(prompted_folder), device="cpu")
    guide = SentenceTransformer(str(make_encoder(tmp_path / "guide")), device="cpu")
    prompts = {"query": "query: ", "document": "passage: "}
    own = {"query": "", "document": "an "}
    translating = Guide(guide, student, prompts, own)
    texts = ["heart pain", "eye itching"]
    features = [
        student.preprocess([prompts[role] + text for text in texts])
        for role in ("query", "document")
    ]
    columns = translating.embed(features)
    for vectors, role in zip(columns, ("query", "document"), strict=True):
        expected = guide.encode([own[role] + text for text in texts], convert_to_tensor=True)
        assert torch.allclose(vectors, expected, atol=1e-6)
    direct = Guide(guide, guide, own, own)
    assert direct.reads_tokens
    assert not translating.reads_tokens
    assert torch.allclose(
        direct.embed([guide.preprocess(texts)])[0],
        guide.encode(texts, convert_to_tensor=True),
        atol=1e-6,
    )
