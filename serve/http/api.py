"""The HTTP application: OpenAI's embeddings API, beside search, reranking and the page.

A new route is a file of this folder with a `router`, and its name in `ROUTES`. What it asks of the
model beyond embeddings is a call in replica/protocol.py and a method in replica/replicas.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from serve.config import ServeConfig
from serve.errors import RequestError, error_response
from serve.http import embeddings, health, models, page, rerank, scrape, search, tokenize
from serve.http.front import OPEN_PATHS, Guard, RequestLog
from serve.http.health import SharedAnswer
from serve.http.keys import Keys, ValidKeys
from serve.replica.protocol import Model

ROUTES = (embeddings, tokenize, models, health, search, rerank, scrape)
# Beside those that every page of another origin may read.
_SHOWN_HEADERS = (
    "x-model-version",
    "x-model-fingerprint",
    "x-dimensions-trained",
    "x-request-id",
    "retry-after",
)


@dataclass(frozen=True)
class HttpSettings:
    """What the HTTP application is made of, beside the model.

    `keys` are those that it takes; `ranker` is the cross-encoder as clients see it, if any.
    """

    config: ServeConfig = field(default_factory=ServeConfig)
    keys: ValidKeys = field(default_factory=ValidKeys)
    ranker: Model | None = None


def make_app(replica: Any, settings: HttpSettings, reranker: Any = None) -> FastAPI:
    """Return the HTTP application of an EmbeddingReplica.

    `reranker` is a handle to the replicas of the cross-encoder, if there are any.
    """
    config = settings.config
    app = FastAPI(title="MedEmbed", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.replica = replica
    app.state.reranker = reranker
    app.state.ranker = settings.ranker
    app.state.limits = config.limits
    app.state.examples = config.examples
    app.state.ready = SharedAnswer(lambda: health.probe(replica, reranker), health.PROBED_FOR_S)
    app.state.replicas = SharedAnswer(replica.reports, health.REPORTED_FOR_S)
    app.state.metrics = SharedAnswer(scrape.read_cluster, scrape.FRESH_FOR_S)

    for module in ROUTES:
        app.include_router(module.router)
    if config.page:
        app.include_router(page.router)
    app.add_exception_handler(HTTPException, _refuse_route)

    keys = Keys(settings.keys) if settings.keys.are_required else None
    if keys is not None:
        _document_keys(app, OPEN_PATHS)
    # The last one added is the first that a request meets.
    app.add_middleware(
        Guard,
        limits=config.limits,
        keys=keys,
        open_paths=page.PATHS if config.page else (),
        hosts=config.allowed_hosts,
    )
    if config.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.lower() for origin in config.cors],
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
