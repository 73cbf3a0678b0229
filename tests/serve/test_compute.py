"""Requests that arrive together share forward passes; each gets its own rows, whatever its company
asks for.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from medembed.codes import to_uint8
from medembed.encoding.batching import Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.matryoshka import truncate
from serve.replica.compute import RequestPart, answer, compute_together, split
from serve.replica.protocol import EmbedCall, Embedded, Refused
from serve.replica.served_model import ServedModel
from tests.serve.replicas import Together, run_together

BATCH_TOKENS = 256


def together(served: ServedModel, *calls: EmbedCall) -> Together:
    asks = [partial(answer, call, served, batch_tokens=BATCH_TOKENS) for call in calls]
    return run_together(*asks)


def sizes(batches: list[list[RequestPart]]) -> list[int]:
    """Return the number of inputs of each batch."""
    return [sum(len(part.tokens) for part in batch) for batch in batches]


def test_one_pass_answers_roles_dimensions_types_and_refusals_together(stock: ServedModel):
    texts = ["heart pain", "brain"]
    long = "heart " * 100
    ids = stock.encoder.tokenize(["skin rash"]).ids[0]
    results, batches = together(
        stock,
        EmbedCall(texts, "document", dimensions=8),
        EmbedCall([ids]),
        EmbedCall([long, "ear"], cuts=True, output_dtype="uint8"),
        EmbedCall(["liver"], model="other"),
        EmbedCall([long]),
        EmbedCall(["ear"], max_tokens=2),
    )
    assert sum(sizes(batches)) == 5
    by_text, by_ids, codes, *refused = results
    assert [each.error.status for each in refused] == [404, 400, 400]
    assert np.abs(by_text.embeddings - truncate(stock.encoder.encode(texts), 8)).max() < 1e-6
    assert np.abs(by_ids.embeddings - stock.encoder.encode(["skin rash"])).max() < 1e-6
    expected = to_uint8(stock.encoder.encode([long, "ear"]), stock.ranges)
    # a batch's company may move a step
    assert np.abs(codes.embeddings.astype(int) - expected.astype(int)).max() <= 1
    assert codes.truncated == [True, False]
    assert codes.tokens == [48, 3]


def test_a_large_request_is_computed_part_by_part_and_lets_others_in_between(stock: ServedModel):
    texts = [f"heart pain {number}" for number in range(200)]
    (large, small), batches = together(stock, EmbedCall(texts), EmbedCall(["ear"]))
    assert np.abs(large.embeddings - stock.encoder.encode(texts, "query")).max() < 1e-5
    assert len(batches) > 3
    assert max(sizes(batches)) <= BATCH_TOKENS // 3
    assert len(small.embeddings) == 1


def test_parts_of_two_models_in_one_batch_are_computed_by_their_own(
    stock: ServedModel, encoder_folder: Path
):
    config = EncodingConfig()
    changed = load_model(encoder_folder, config, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    old = stock.encoder
    new = Encoder(changed, config)
    tokens = old.tokenize(["heart pain", "ear"])
    parts = [
        RequestPart(old, tokens),
        RequestPart(new, tokens.take(0, 1)),
        RequestPart(old, tokens.take(1, 2)),
    ]
    rows = compute_together(parts)
    apart = [part.encoder.encode_tokens(part.tokens) for part in parts]
    assert np.abs(apart[0][:1] - apart[1]).max() > 0.01, (
        "else it could not be told which model computed what"
    )
    for computed, expected in zip(rows, apart, strict=True):
        assert np.abs(computed - expected).max() < 1e-5


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_parts_keep_the_order_and_the_limit(limit: int):
    tokens = [[0] * size for size in (3, 1, 2, 9, 1, 1, 4)]
    parts = [part.ids for part in split(Tokens({"input_ids": tokens}), limit)]
    assert [ids for part in parts for ids in part] == tokens
    assert all(len(part) == 1 or sum(map(len, part)) <= limit for part in parts)
    assert list(split(Tokens({"input_ids": []}), limit)) == []


def test_a_request_that_cannot_be_in_time_is_refused_after_its_first_part_and_one_that_can_is_not(
    stock: ServedModel,
):
    texts = [f"heart pain {number}" for number in range(200)]
    (large, small, patient), batches = together(
        stock,
        EmbedCall(texts, within_s=1e-6),
        EmbedCall(["ear"], within_s=600),
        EmbedCall(texts, within_s=600),
    )
    assert isinstance(large, Refused)
    assert (large.error.status, large.error.code, large.error.param) == (400, "too_slow", "input")
    assert "limits.request_timeout_s" in large.error.message
    first, second, *_ = sizes(batches)
    assert second < first / 2 + 1, "nothing more of it is computed"
    assert isinstance(small, Embedded)
    assert isinstance(patient, Embedded)
