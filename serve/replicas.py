"""What each replica serves, asked of all of them at once: how a promotion learns that it has been taken."""

from typing import Any, TypedDict

from fastapi import APIRouter
from ray.serve.exceptions import DeploymentUnavailableError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.calls import ERRORS, call

PATH = "/health/replicas"
_TIMEOUT_S = 10
routes = APIRouter(responses=ERRORS)


class Report(TypedDict):
    """One replica. `config` and `refused` are fingerprints of the user_config that it serves, and of one that it
    could not load; None if it never refused any since."""

    replica: str
    version: str
    fingerprint: str
    table_version: int | None
    config: str
    refused: str | None


@routes.get(PATH)
async def list_replicas(request: Request) -> Response:
    """Every replica with the version that it serves; none where the server has scaled to zero."""
    return JSONResponse({"replicas": await call(request, _ask_all, request.app.state.embedder)})


async def _ask_all(embedder: Any) -> list[Report]:
    try:
        answers = await embedder.broadcast("report").results_async(timeout_s=_TIMEOUT_S, return_exceptions=True)
    except DeploymentUnavailableError:  # how Serve says that no replica runs
        return []
    return [answer for answer in answers if not isinstance(answer, BaseException)]  # the others are about to go
