"""The HTTP application: OpenAI's embeddings API, beside search, reranking and the page."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import RequestError, error_response
from serve.http import embeddings, health, models, page, rerank, scrape, search, tokenize
from serve.http.front import OPEN_PATHS, Guard, RequestLog
from serve.http.health import SharedAnswer
from serve.http.settings import HttpSettings
from serve.logs import start_logs
from serve.ray_internals import stay_on_loopback

# Beside those that every page of another origin may read.
_SHOWN_HEADERS = (
    "x-model-version",
    "x-model-fingerprint",
    "x-dimensions-trained",
    "x-request-id",
    "retry-after",
)


def make_app(
    embedder: Any, settings: HttpSettings, reranker: Any = None, *, max_requests: int | None = None
) -> FastAPI:
    """Return the HTTP application over handles of an Embedder and, if there is one, a Reranker.

    `max_requests` are taken at a time.
    """
    app = FastAPI(title="MedEmbed", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.embedder = embedder
    app.state.reranker = reranker
    app.state.ranker = settings.ranker
    app.state.limits = settings.limits
    app.state.examples = settings.examples
    app.state.ready = SharedAnswer(lambda: health.probe(embedder, reranker), health.PROBED_FOR_S)
    app.state.replicas = SharedAnswer(lambda: health.read_replicas(embedder), health.PROBED_FOR_S)
    app.state.metrics = SharedAnswer(scrape.read_cluster, scrape.FRESH_FOR_S)

    for module in (embeddings, tokenize, models, health, search, rerank, scrape):
        app.include_router(module.routes)
    if settings.has_page:
        app.include_router(page.routes)
    app.add_exception_handler(HTTPException, _refuse_route)

    keys = settings.open_keys()
    if keys is not None:
        _document_keys(app, OPEN_PATHS)
    # The last one added is the first that a request meets.
    app.add_middleware(
        Guard,
        limits=settings.limits,
        keys=keys,
        open_paths=page.PATHS if settings.has_page else (),
        hosts=settings.hosts,
        max_requests=max_requests,
    )
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.lower() for origin in settings.origins],
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type"),
            expose_headers=_SHOWN_HEADERS,
        )
    app.add_middleware(RequestLog)
    return app


async def _refuse_route(_: Request, error: Exception) -> Response:
    """Answer the router's 404 and 405 in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return error_response(RequestError(error.status_code, str(error.detail), headers=headers))


def _document_keys(app: FastAPI, open_paths: Sequence[str]) -> None:
    """Have the OpenAPI document say that all paths but these need an API key."""
    plain = app.openapi

    def keyed() -> dict[str, Any]:
        document = plain()
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in open_paths else [{"key": []}]
        return document

    app.openapi = keyed  # type: ignore[method-assign]  # FastAPI's documented way to extend its document


# Serve's proxy takes more requests than wait for replicas, so that the queue in here refuses, in
# OpenAI's shape.
@ray_serve.deployment(max_ongoing_requests=4096)
@ray_serve.ingress()
class Api:
    """Serve's ingress around `make_app`. Serve has it build its app, so none is pickled."""

    def __init__(
        self, embedder: Any, settings: HttpSettings, max_requests: int, reranker: Any = None
    ) -> None:
        stay_on_loopback()
        settings.check_address()
        start_logs(settings.log)
        self.embedder = embedder
        self.reranker = reranker
        self.settings = settings
        self.max_requests = max_requests

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self.embedder, self.settings, self.reranker, max_requests=self.max_requests)
