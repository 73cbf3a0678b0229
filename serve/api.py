"""HTTP routes: OpenAI's embeddings API. Texts never reach a log or an error message."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic_core import to_json
from ray import serve
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.access import AccessLog, note, start_access_log
from serve.errors import ErrorBody, RequestError, error_response, explain
from serve.guard import Guard, LimitsConfig
from serve.messages import (
    EmbeddingRequest,
    embedding_headers,
    embedding_response,
    model_entry,
    model_headers,
    parse_request,
    to_work,
)
from serve.work import Embedded, Model, Refused, Work, check_model

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504)
}
_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": EmbeddingRequest.model_json_schema()}}}
}
routes = APIRouter(responses=_ERRORS)


def make_app(embedder: Any, limits: LimitsConfig, hashes: Sequence[str] = ()) -> FastAPI:
    """The HTTP application over a handle with `embed.remote(Work)` and `describe.remote()`.

    `hashes` are those of valid API keys; none lets everyone in.
    """
    app = FastAPI(title="MedEmbed", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.embedder, app.state.limits = embedder, limits
    app.include_router(routes)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_middleware(Guard, limits=limits, hashes=hashes)
    app.add_middleware(AccessLog)
    return app


@routes.post("/v1/embeddings", openapi_extra=_BODY)
async def embeddings(request: Request) -> Response:
    """Embeddings of the inputs, in their order."""
    # The body is parsed in one step from its bytes: json.loads would let NaN, lone surrogates and deep nests through.
    _check_content_type(request)
    asked = parse_request(await request.body())
    work = to_work(asked, request.app.state.limits)
    note(request.scope, items=len(work.inputs), dimensions=work.dimensions, output_dtype=work.output_dtype)
    result = await _embed(request, work)
    note(request.scope, tokens=sum(result.tokens), dimensions=result.dimensions)
    # 2,048 embeddings of 384 dimensions as floats: 0.06 s; the standard library's json takes 0.44 s.
    body = to_json(embedding_response(result, asked))
    return Response(body, media_type="application/json", headers=embedding_headers(result))


@routes.get("/v1/models")
async def list_models(request: Request) -> Response:
    """The served model: version, fingerprint, width, trained dimensions."""
    model = await _describe(request)
    return JSONResponse({"object": "list", "data": [model_entry(model)]}, headers=model_headers(model))


@routes.get("/v1/models/{name:path}")
async def retrieve_model(request: Request, name: str) -> Response:
    """The same for one name; 404 if it is not served."""
    model = await _describe(request)
    try:
        check_model(name, model)
    except RequestError as error:
        error.headers |= model_headers(model)
        raise
    return JSONResponse(model_entry(model), headers=model_headers(model))


@routes.get("/health/live")
async def live() -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "live"})


@routes.get("/health/ready")
async def ready(request: Request) -> Response:
    """200 if a replica has just made an embedding."""
    result = await _embed(request, Work(("ready",)))
    body = {"status": "ready", "fingerprint": result.model["fingerprint"]}
    return JSONResponse(body, headers=model_headers(result.model))


async def _embed(request: Request, work: Work) -> Embedded:
    """The replica's answer. Raises RequestError, which names the model if it was the model that refused."""
    result: Embedded | Refused = await _ask(request, request.app.state.embedder.embed.remote, work)
    note(request.scope, model=result.model["name"], version=result.model["version"])
    if isinstance(result, Refused):
        result.error.headers |= model_headers(result.model)
        raise result.error
    return result


async def _describe(request: Request) -> Model:
    model: Model = await _ask(request, request.app.state.embedder.describe.remote)
    note(request.scope, model=model["name"], version=model["version"])
    return model


async def _ask(request: Request, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """A replica's result. Its errors are explained here: Serve would answer some of them itself, in plain text."""
    try:
        return await method(*arguments)
    except Exception as error:
        raise explain(error, request.app.state.limits.retry_after_s) from error


def _check_content_type(request: Request) -> None:
    """Raises RequestError 415 for anything but JSON: a web page may send other types to a server on this machine."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, "expected the header Content-Type: application/json.", code="unsupported_media_type")


async def _refuse_route(_: Request, error: Exception) -> Response:
    """404 and 405 of the router, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, dict(error.headers or {})
    return error_response(RequestError(status, str(error.detail), headers=headers))


# More than wait for replicas, so that it is the queue in here that refuses, in OpenAI's shape, and not Serve's proxy.
@serve.deployment(max_ongoing_requests=4096)
@serve.ingress()
class Api:
    """Serve's ingress around `make_app`, which is built in the replica, so that nothing of it is pickled."""

    def __init__(self, embedder: Any, limits: dict[str, Any], hashes: Sequence[str], access_log: bool) -> None:
        self.embedder, self.limits, self.hashes = embedder, LimitsConfig.model_validate(limits), hashes
        if access_log:
            start_access_log()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self.embedder, self.limits, self.hashes)
