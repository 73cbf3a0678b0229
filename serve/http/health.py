"""GET /health/...: whether the process answers, whether models do, and what each replica serves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from serve.http import route
from serve.replica.protocol import REPLICAS, EmbedCall, Embedded, Refused, ReplicaEntry, RerankCall

PROBED_FOR_S = 1.0  # an answer to a probe serves all that come so soon after it
REPORTED_FOR_S = 0.2  # a promotion waits for what replicas serve
_TEXT = EmbedCall(("ready",))
_PAIR = RerankCall("ready", ("ready",))
router = APIRouter(responses=route.ERRORS)


class SharedAnswer:
    """The result of a call, or its exception, for all who ask within some seconds of its begin.

    However many probes come, they cost the same.
    """

    def __init__(self, make: Callable[[], Awaitable[Any]], seconds: float) -> None:
        self.make = make
        self.seconds = seconds
        self.began = 0.0
        self.task: asyncio.Future[Any] | None = None

    async def get(self) -> Any:
        """Return the result. A caller who leaves while it is made does not end it for others."""
        is_old = time.monotonic() - self.began >= self.seconds
        if self.task is None or (self.task.done() and is_old):
            self.began = time.monotonic()
            self.task = asyncio.ensure_future(self.make())
        return await asyncio.shield(self.task)


@route.exact
class ReplicaList(TypedDict):
    """All replicas that answer."""

    replicas: list[ReplicaEntry]


@route.exact
class Live(TypedDict):
    """The process answers."""

    status: Literal["live"]


@route.exact
class Ready(TypedDict):
    """The model with this fingerprint answers."""

    status: Literal["ready"]
    fingerprint: str


@router.get("/health/live", responses=route.answers(Live, of_model=False))
async def live() -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready", responses=route.answers(Ready))
async def ready(request: Request) -> Response:
    """200 if a replica has made an embedding, and one a score where there is a cross-encoder, in
    the last second.
    """
    result: Embedded = await route.ask_model(request, request.app.state.ready.get)
    body = {"status": "ready", "fingerprint": result.model["fingerprint"]}
    return route.json_response(body, result.model)


@router.get(REPLICAS, responses=route.answers(ReplicaList, of_model=False))
async def list_replicas(request: Request) -> Response:
    """Every replica with the version that it serves."""
    return JSONResponse({"replicas": await route.ask(request, request.app.state.replicas.get)})


async def probe(replica: Any, reranker: Any) -> Embedded | Refused:
    """Embed a made-up text, and score a made-up pair where there is a cross-encoder."""
    embedded: Embedded | Refused = await replica.embed(_TEXT)
    if reranker is not None:
        ranked = await reranker.rerank.remote(_PAIR)
        if isinstance(ranked, Refused):
            raise ranked.error
    return embedded
