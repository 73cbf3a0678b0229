"""GET /health/...: whether the process answers, whether models do, and what each replica serves."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.http.openapi import REPLICAS, Live, Ready, ReplicaEntry, ReplicaList, answers
from serve.http.replica_client import ERRORS, ask, ask_model, model_headers
from serve.replica.protocol import EmbedCall, Embedded, Refused
from serve.replica.rerank import RerankCall

PROBED_FOR_S = 1.0  # an answer to a probe serves all that come so soon after it
_REPLICA_TIMEOUT_S = 10
_TEXT = EmbedCall(("ready",))
_PAIR = RerankCall("ready", ("ready",))
routes = APIRouter(responses=ERRORS)


@routes.get("/health/live", responses=answers(Live, of_model=False))
async def live() -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "live"})


@routes.get("/health/ready", responses=answers(Ready))
async def ready(request: Request) -> Response:
    """200 if a replica has made an embedding, and one a score where there is a cross-encoder, in
    the last second.
    """
    result: Embedded = await ask_model(request, request.app.state.ready.get)
    body = {"status": "ready", "fingerprint": result.model["fingerprint"]}
    return JSONResponse(body, headers=model_headers(result.model))


@routes.get(REPLICAS, responses=answers(ReplicaList, of_model=False))
async def list_replicas(request: Request) -> Response:
    """Every replica with the version that it serves; none where the server has scaled to zero."""
    return JSONResponse({"replicas": await ask(request, request.app.state.replicas.get)})


async def probe(embedder: Any, reranker: Any) -> Embedded | Refused:
    """Embed a made-up text, and score a made-up pair where there is a cross-encoder."""
    embedded: Embedded | Refused = await embedder.embed.remote(_TEXT)
    if reranker is not None:
        ranked = await reranker.rerank.remote(_PAIR)
        if isinstance(ranked, Refused):
            raise ranked.error
    return embedded


async def read_replicas(embedder: Any) -> list[ReplicaEntry]:
    """Return what each replica serves; those that do not answer in time are about to go."""
    from ray.serve.exceptions import DeploymentUnavailableError

    try:
        reports = await embedder.broadcast("report").results_async(
            timeout_s=_REPLICA_TIMEOUT_S, return_exceptions=True
        )
    except DeploymentUnavailableError:  # how Serve says that no replica runs
        return []
    return [report for report in reports if not isinstance(report, BaseException)]
