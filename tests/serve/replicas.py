"""Stand in for replicas without Ray, and run calls together."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from serve.replica.compute import RequestPart, answer, compute_together, read_tokens
from serve.replica.protocol import (
    EmbedCall,
    Embedded,
    Model,
    Refused,
    ReplicaEntry,
    Tokenized,
)
from serve.replica.rerank import (
    Ranked,
    Ranker,
    RerankCall,
    rerank,
)
from serve.replica.search import SearchCall, SearchResult, search
from serve.replica.served_model import (
    ServedModel,
)


@dataclass
class Replica:
    """A replica computes each request alone, and keeps in `seen` those that reached it."""

    served: ServedModel

    def __post_init__(self) -> None:
        self.seen: list[EmbedCall] = []

    async def embed(self, call: EmbedCall) -> Embedded | Refused:
        self.seen.append(call)
        return await answer_alone(call, self.served)

    async def tokenize(self, call: EmbedCall) -> Tokenized | Refused:
        return read_tokens(call, self.served)

    async def search(self, call: SearchCall) -> SearchResult | Refused:
        return await search(call, lambda: self.served, self.embed)

    async def describe(self) -> Model:
        return self.served.model

    async def reports(self) -> list[ReplicaEntry]:
        model = self.served.model
        return [
            {
                "replica": "r1",
                "version": model["version"],
                "fingerprint": model["fingerprint"],
                "table_version": None,
                "config": "c1",
                "refused": None,
                "reason": None,
            }
        ]


@dataclass
class RankingReplica:
    """As Serve's handle of a Reranker: `rerank.remote(...)`. `passes` counts the pairs of each forward pass."""

    ranker: Ranker

    def __post_init__(self) -> None:
        self.passes: list[int] = []

    @property
    def rerank(self) -> "RankingReplica":
        return self

    async def remote(self, call: RerankCall) -> Ranked | Refused:
        return await rerank(call, self.ranker, self._compute, batch_tokens=64)

    async def _compute(self, part: RequestPart) -> npt.NDArray[np.float32]:
        self.passes.append(len(part.tokens))
        return compute_together([part])[0]


async def answer_alone(call: EmbedCall, served: ServedModel) -> Embedded | Refused:
    """Answer as a replica with nothing else to do."""

    async def compute(part: RequestPart) -> npt.NDArray[np.float32]:
        return compute_together([part])[0]

    return await answer(call, served, compute, batch_tokens=256)


class Together(NamedTuple):
    """Keep what became of requests, and the parts of each batch that was computed for them."""

    results: list[Any]
    batches: list[list[RequestPart]]


def run_together(*asks: Callable[..., Coroutine[Any, Any, Any]]) -> Together:
    """Answer requests, each by `ask(compute=...)`, in batches of what all of them wait for."""
    batches: list[list[RequestPart]] = []
    waiting: list[tuple[RequestPart, asyncio.Future[npt.NDArray[np.float32]]]] = []

    async def compute(part: RequestPart) -> npt.NDArray[np.float32]:
        future = asyncio.get_running_loop().create_future()
        waiting.append((part, future))
        return await future

    async def run() -> list[Any]:
        tasks = [asyncio.create_task(ask(compute=compute)) for ask in asks]
        while left := sum(not task.done() for task in tasks):
            if len(waiting) < left:  # some are tokenising, in threads
                await asyncio.sleep(0.001)
                continue
            batch = list(waiting)
            waiting.clear()
            batches.append([part for part, _ in batch])
            for (_, future), rows in zip(batch, compute_together(batches[-1]), strict=True):
                future.set_result(rows)
            await asyncio.sleep(0)
        return [task.result() for task in tasks]

    return Together(asyncio.run(run()), batches)


class Failing:
    """A replica, or a handle to one, answers with an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.embed = self.describe = self.search = self.tokenize = self.reports = self.fail
        self.rerank = self
        self.remote = self.fail

    async def fail(self, *_: Any) -> None:
        raise self.error
