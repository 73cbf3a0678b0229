"""Requests that arrive together share forward passes; each gets its own rows, whatever its company
asks for.
"""

import asyncio
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from medembed.encoding.batching import Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.quantize import to_uint8
from medembed.matryoshka import truncate
from serve.replica.compute import Part, answer, compute_together, count_tokens, split
from serve.replica.protocol import EmbedCall, Embedded, Refused
from serve.replica.served_model import ServedModel
from tests.serve.conftest import answer_alone

BATCH_TOKENS = 256


def together(
    served: ServedModel, works: list[EmbedCall]
) -> tuple[list[Embedded | Refused], list[int]]:
    """(results, inputs of each forward pass) of requests whose parts are computed once all wait for
    theirs.
    """
    passes: list[int] = []

    async def run() -> list[Embedded | Refused]:
        waiting: list[tuple[Part, asyncio.Future[npt.NDArray[np.float32]]]] = []

        async def compute(part: Part) -> npt.NDArray[np.float32]:
            waiting.append((part, asyncio.get_running_loop().create_future()))
            return await waiting[-1][1]

        tasks = [asyncio.create_task(answer(work, served, compute, BATCH_TOKENS)) for work in works]
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            batch, waiting[:] = list(waiting), []
            if batch:
                passes.append(sum(len(part.tokens) for part, _ in batch))
                for (_, future), rows in zip(
                    batch, compute_together([part for part, _ in batch]), strict=True
                ):
                    future.set_result(rows)
        return [task.result() for task in tasks]

    return asyncio.run(run()), passes


def test_one_pass_answers_roles_dimensions_types_and_refusals_together(stock: ServedModel):
    texts = ["heart pain", "brain"]
    ids = stock.encoder.tokenize(["skin rash"]).ids[0]
    results, passes = together(
        stock,
        [
            EmbedCall(texts, "document", dimensions=8),
            EmbedCall(["liver"], model="other"),
            EmbedCall([ids]),
            EmbedCall(["heart " * 100]),
            EmbedCall(["heart " * 100, "ear"], cuts=True, output_dtype="uint8"),
            EmbedCall(["ear"], max_tokens=2),
        ],
    )
    assert sum(passes) == 5
    assert [type(one) for one in results] == [
        Embedded,
        Refused,
        Embedded,
        Refused,
        Embedded,
        Refused,
    ]
    assert [one.error.status for one in results if isinstance(one, Refused)] == [404, 400, 400]
    first, _, second, _, third, _ = results
    assert np.abs(first.embeddings - truncate(stock.encoder.encode(texts), 8)).max() < 1e-6
    assert np.abs(second.embeddings - stock.encoder.encode(["skin rash"])).max() < 1e-6
    codes = to_uint8(stock.encoder.encode(["heart " * 100, "ear"]), stock.ranges)
    # a batch's company may move a step
    assert np.abs(third.embeddings.astype(int) - codes.astype(int)).max() <= 1
    assert (third.truncated, third.tokens) == ([True, False], [48, 3])


def test_a_large_request_is_computed_part_by_part_and_lets_others_in_between(stock: ServedModel):
    texts = [f"heart pain {number}" for number in range(200)]
    (large, small), passes = together(stock, [EmbedCall(texts), EmbedCall(["ear"])])
    assert isinstance(large, Embedded)
    assert isinstance(small, Embedded)
    assert np.abs(large.embeddings - stock.encoder.encode(texts, "query")).max() < 1e-5
    assert len(passes) > 3
    assert max(passes) <= BATCH_TOKENS // 3


def test_parts_of_two_models_in_one_batch_are_computed_by_their_own(
    stock: ServedModel, encoder_folder: Path
):
    config = EncodingConfig()
    changed = load_model(encoder_folder, config, "cpu")
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1
            )
    old, new = stock.encoder, Encoder(changed, config)
    tokens = old.tokenize(["heart pain", "ear"])
    parts = [Part(old, tokens), Part(new, tokens.take(0, 1)), Part(old, tokens.take(1, 2))]
    rows = compute_together(parts)
    apart = [part.encoder.encode_tokens(part.tokens) for part in parts]
    assert np.abs(apart[0][:1] - apart[1]).max() > 0.01, (
        "else it could not be told which model computed what"
    )
    for found, expected in zip(rows, apart, strict=True):
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_parts_keep_the_order_and_the_limit(limit: int):
    tokens = [[0] * size for size in (3, 1, 2, 9, 1, 1, 4)]
    parts = [part.ids for part in split(Tokens({"input_ids": tokens}), limit)]
    assert [ids for part in parts for ids in part] == tokens
    assert all(len(part) == 1 or sum(map(len, part)) <= limit for part in parts)
    assert list(split(Tokens({"input_ids": []}), limit)) == []


def test_only_refusals_compute_nothing(stock: ServedModel):
    results, passes = together(stock, [EmbedCall(["a"], expected_fingerprint="x")])
    assert [one.error.status for one in results if isinstance(one, Refused)] == [409]
    assert passes == []
    assert count_tokens([Part(stock.encoder, Tokens({"input_ids": [[1, 2], [3]]}))]) == 3
    assert isinstance(asyncio.run(answer_alone(EmbedCall(["a"]), stock)), Embedded)


def test_a_request_that_cannot_be_in_time_is_refused_after_its_first_part_and_one_that_can_is_not(
    stock: ServedModel,
):
    texts = [f"heart pain {number}" for number in range(200)]
    (large, small, patient), passes = together(
        stock,
        [
            EmbedCall(texts, within_s=1e-6),
            EmbedCall(["ear"], within_s=600),
            EmbedCall(texts, within_s=600),
        ],
    )
    assert isinstance(large, Refused)
    assert (large.error.status, large.error.code, large.error.param) == (400, "too_slow", "input")
    assert "limits.request_timeout_s" in large.error.message
    assert passes[1] < passes[0] / 2 + 1, "nothing more of it is computed"
    assert isinstance(small, Embedded)
    assert isinstance(patient, Embedded)
