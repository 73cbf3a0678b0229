"""What each replica serves, asked of all of them at once: how a promotion learns that it has been
taken.
"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.http.openapi import REPLICAS, ReplicaEntry, ReplicaList, answers
from serve.http.replica_client import ERRORS, call

_TIMEOUT_S = 10
routes = APIRouter(responses=ERRORS)


@routes.get(REPLICAS, responses=answers(ReplicaList, of_model=False))
async def list_replicas(request: Request) -> Response:
    """Every replica with the version that it serves; none where the server has scaled to zero."""
    return JSONResponse({"replicas": await call(request, request.app.state.replicas.get)})


async def ask_all(embedder: Any) -> list[ReplicaEntry]:
    """Return what each replica serves; those that do not answer in time are about to go."""
    from ray.serve.exceptions import DeploymentUnavailableError

    try:
        answers = await embedder.broadcast("report").results_async(
            timeout_s=_TIMEOUT_S, return_exceptions=True
        )
    except DeploymentUnavailableError:  # how Serve says that no replica runs
        return []
    return [answer for answer in answers if not isinstance(answer, BaseException)]
