"""Replicas without Ray for the HTTP application, and calls that run together."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from serve.http.openapi import ReplicaEntry

from serve.replica.compute import Part, answer, compute_together, read_tokens
from serve.replica.protocol import EmbedCall, Embedded, Refused
from serve.replica.rerank import (
    Ranked,
    Ranker,
    RerankCall,
    rerank,
)
from serve.replica.search import search
from serve.replica.search_call import SearchCall, SearchResult
from serve.replica.served_model import (
    ServedModel,
)


class Method:
    """`handle.method.remote(...)`, awaited."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    async def remote(self, *arguments: Any) -> Any:
        return await asyncio.to_thread(self.function, *arguments)


@dataclass
class Replica:
    """As Serve's handle of an Embedder; `seen` are the requests that reached it."""

    served: ServedModel

    def __post_init__(self) -> None:
        self.seen: list[EmbedCall] = []
        self.embed = Method(self._embed)
        self.describe = Method(lambda: self.served.model)
        self.search = Method(self._search)
        self.tokenize = Method(lambda call: read_tokens(call, self.served))

    def _embed(self, call: EmbedCall) -> Embedded | Refused:
        self.seen.append(call)
        return asyncio.run(answer_alone(call, self.served))

    def _search(self, call: SearchCall) -> SearchResult | Refused:
        async def embed(text: EmbedCall) -> Embedded | Refused:
            self.seen.append(text)
            return await answer_alone(text, self.served)

        return asyncio.run(search(call, lambda: self.served, embed))

    def broadcast(self, _: str) -> "Replica":
        return self

    async def results_async(self, **_: Any) -> list[ReplicaEntry]:
        model = self.served.model
        named = {
            "version": model["version"],
            "fingerprint": model["fingerprint"],
            "table_version": None,
        }
        return [{"replica": "r1", "config": "c1", "refused": None, "reason": None, **named}]


@dataclass
class RankingReplica:
    """As Serve's handle of a Reranker; `passes` counts the pairs of each forward pass."""

    ranker: Ranker

    def __post_init__(self) -> None:
        self.passes: list[int] = []
        self.rerank = Method(self._rerank)

    def _rerank(self, call: RerankCall) -> Ranked | Refused:
        return asyncio.run(rerank(call, self.ranker, self._compute, batch_tokens=64))

    async def _compute(self, part: Part) -> npt.NDArray[np.float32]:
        self.passes.append(len(part.tokens))
        return compute_together([part])[0]


async def answer_alone(call: EmbedCall, served: ServedModel) -> Embedded | Refused:
    """As a replica with nothing else to do."""

    async def compute(part: Part) -> npt.NDArray[np.float32]:
        return compute_together([part])[0]

    return await answer(call, served, compute, batch_tokens=256)


class Together(NamedTuple):
    """What became of requests, and the parts of each batch that was computed for them."""

    results: list[Any]
    batches: list[list[Part]]


def run_together(*asks: Callable[..., Coroutine[Any, Any, Any]]) -> Together:
    """Answer requests, each by `ask(compute=...)`, in batches of what all of them wait for."""
    batches: list[list[Part]] = []
    waiting: list[tuple[Part, asyncio.Future[npt.NDArray[np.float32]]]] = []

    async def compute(part: Part) -> npt.NDArray[np.float32]:
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
    """A handle whose replica answers with an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.embed = self.describe = self.search = self.tokenize = Method(self._fail)

    def _fail(self, *_: Any) -> None:
        raise self.error
