"""A request to rank documents is computed part by part."""

import asyncio
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from serve.replica.compute import Part, compute_together
from serve.replica.protocol import Refused
from serve.replica.rerank import Ranker, RerankCall, rerank
from tests.cross import QUERY, TEXTS
from tests.serve.replicas import run_together
from tests.serve.test_rerank import compute_at_once


def test_a_request_is_computed_part_by_part_and_pairs_of_several_share_a_pass(
    ranker: Ranker, scores: list[float]
):
    calls = (
        RerankCall(QUERY, TEXTS),
        RerankCall(QUERY, TEXTS[:1]),
        RerankCall("a", ["b"], model="other"),
    )
    asks = [partial(rerank, call, ranker, batch_tokens=64) for call in calls]
    together = run_together(*asks)
    large, small, other = together.results
    assert isinstance(other, Refused)
    assert max(map(len, together.batches)) == 2
    assert len(together.batches) > 1
    for document in (*large.documents, *small.documents):
        assert abs(document.score - scores[document.index]) < 1e-5


def test_of_a_request_whose_caller_left_nothing_more_is_computed(ranker: Ranker):
    passes: list[int] = []

    async def run() -> None:
        begun = asyncio.Event()

        async def compute(part: Part) -> npt.NDArray[np.float32]:
            passes.append(len(part.tokens))
            begun.set()
            await asyncio.sleep(0)
            return compute_together([part])[0]

        work = RerankCall(QUERY, TEXTS * 50)
        task = asyncio.create_task(rerank(work, ranker, compute, batch_tokens=64))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(passes) == 1


def test_a_request_that_cannot_be_in_time_is_refused_after_its_first_part(ranker: Ranker):
    late = asyncio.run(
        rerank(RerankCall(QUERY, TEXTS * 9, within_s=1e-6), ranker, compute_at_once, 64)
    )
    assert isinstance(late, Refused)
    assert (late.error.code, late.error.param) == ("too_slow", "documents")
