"""The HTTP application: OpenAI's embeddings API, beside search, reranking and the page.

Texts never reach a log or an error message.
"""

from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic_core import to_json
from ray import serve as ray_serve
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.errors import RequestError, error_response
from serve.http import cors, page, replicas, rerank_api, scrape, search_api
from serve.http.access_log import log_request, note
from serve.http.limits import OPEN, Guard
from serve.http.messages import (
    EmbeddingRequest,
    TokensRequest,
    embedding_headers,
    embedding_response,
    model_entry,
    model_headers,
    to_tokens_work,
    to_work,
    tokens_response,
)
from serve.http.openapi import (
    EmbeddingAnswer,
    Live,
    ModelEntry,
    ModelList,
    Ready,
    TokensAnswer,
    answers,
    body_of,
    require_key,
)
from serve.http.parse import read_body
from serve.http.replica_client import ERRORS, accept, call, note_model
from serve.http.request_log import Ended
from serve.http.settings import Front
from serve.http.shared_answer import Fresh
from serve.logs import start_logs
from serve.replica.loopback import stay_on_loopback
from serve.replica.metrics import RequestMetrics
from serve.replica.protocol import Embedded, Model, Refused, Tokenized, Work, check_model, find_name
from serve.replica.rerank import Ranked, RerankWork

_READY = Work(("ready",))
_READY_PAIR = RerankWork("ready", ("ready",))
_PROBED_FOR_S = 1.0  # an answer to a probe serves all that come so soon after it
routes = APIRouter(responses=ERRORS)


def make_app(
    embedder: Any, front: Front, reranker: Any = None, *, most: int | None = None
) -> FastAPI:
    """The HTTP application over a handle with `embed.remote(Work)`, `search.remote(SearchWork)`,
    `describe_all.remote()`, and one with `rerank.remote(RerankWork)`. `most` requests are taken at
    a time.
    """
    app = FastAPI(title="MedEmbed", docs_url=None, redoc_url=None, redirect_slashes=False)
    keys = front.open_keys()
    app.state.embedder, app.state.limits = embedder, front.limits
    app.state.examples = front.examples
    app.state.reranker, app.state.ranker = reranker, front.ranker
    app.state.extras = {name: embedder.options(multiplexed_model_id=name) for name in front.extras}
    app.state.ready = Fresh(lambda: _probe(embedder, reranker), _PROBED_FOR_S)
    app.state.replicas = Fresh(lambda: replicas.ask_all(embedder), _PROBED_FOR_S)
    app.state.metrics = Fresh(scrape.read_cluster, scrape.FRESH_FOR_S)
    app.include_router(routes)
    app.include_router(search_api.routes)
    app.include_router(rerank_api.routes)
    app.include_router(replicas.routes)
    app.include_router(scrape.routes)
    if front.has_page:
        app.include_router(page.routes)
    if keys is not None:
        require_key(app, OPEN)
    app.add_exception_handler(HTTPException, _refuse_route)
    open_paths = page.PATHS if front.has_page else ()
    app.add_middleware(
        Guard, limits=front.limits, keys=keys, open_paths=open_paths, hosts=front.hosts, most=most
    )
    if front.origins:
        cors.let_in(app, front.origins)
    app.add_middleware(Ended, records=(log_request, RequestMetrics().record))
    return app


@routes.post(
    "/v1/embeddings",
    openapi_extra=body_of(EmbeddingRequest),
    responses=answers(EmbeddingAnswer, of_dimensions=True),
)
async def embeddings(request: Request) -> Response:
    """Embeddings of the inputs, in their order."""
    asked = await read_body(request, EmbeddingRequest)
    work = to_work(asked, request.app.state.limits)
    note(
        request.scope,
        items=len(work.inputs),
        dimensions=work.dimensions,
        output_dtype=work.output_dtype,
    )
    result = await _embed(request, work)
    note(request.scope, tokens=sum(result.tokens), dimensions=result.dimensions)
    # 2,048 embeddings of 384 dimensions as floats: 0.06 s; the standard library's json takes 0.44
    # s.
    body = to_json(embedding_response(result, asked, cuts=work.cuts))
    return Response(body, media_type="application/json", headers=embedding_headers(result))


@routes.post("/v1/tokenize", openapi_extra=body_of(TokensRequest), responses=answers(TokensAnswer))
async def tokenize(request: Request) -> Response:
    """What the model reads of each input: token ids, prompt included, and how many there are. No
    text comes back.
    """
    asked = await read_body(request, TokensRequest)
    work = to_tokens_work(asked, request.app.state.limits)
    note(request.scope, items=len(work.inputs))
    result: Tokenized | Refused = await call(
        request, _choose(request, work.model).tokenize.remote, work
    )
    tokenized = accept(request, result, result.model)
    body = to_json(tokens_response(tokenized))
    return Response(body, media_type="application/json", headers=model_headers(tokenized.model))


@routes.get("/v1/models", responses=answers(ModelList))
async def list_models(request: Request) -> Response:
    """The served models: version, fingerprint, width, trained dimensions."""
    models = await _describe(request)
    return JSONResponse(
        {"object": "list", "data": list(map(model_entry, models))}, headers=model_headers(models[0])
    )


@routes.get("/v1/models/{name:path}", responses=answers(ModelEntry))
async def retrieve_model(request: Request, name: str) -> Response:
    """The same for one name; 404 if it is not served."""
    models = await _describe(request)
    by_name = {model["name"]: model for model in models}
    model = by_name.get(find_name(name, by_name) or "", models[0])
    try:
        check_model(name, model)
    except RequestError as error:
        error.headers |= model_headers(model)
        raise
    return JSONResponse(model_entry(model), headers=model_headers(model))


@routes.get("/health/live", responses=answers(Live, of_model=False))
async def live() -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "live"})


@routes.get("/health/ready", responses=answers(Ready))
async def ready(request: Request) -> Response:
    """200 if a replica has made an embedding, and one a score where there is a cross-encoder, in
    the last second.
    """
    result: Embedded | Refused = await call(request, request.app.state.ready.get)
    result = accept(request, result, result.model)
    body = {"status": "ready", "fingerprint": result.model["fingerprint"]}
    return JSONResponse(body, headers=model_headers(result.model))


async def _probe(embedder: Any, reranker: Any) -> Embedded | Refused:
    """What becomes of a made-up text; raises what goes wrong with a made-up pair, where there is a
    cross-encoder.
    """
    embedded: Embedded | Refused = await embedder.embed.remote(_READY)
    if reranker is not None:
        ranked: Ranked | Refused = await reranker.rerank.remote(_READY_PAIR)
        if isinstance(ranked, Refused):
            raise ranked.error
    return embedded


async def _embed(request: Request, work: Work) -> Embedded:
    """The replica's answer. Raises RequestError, which names the model if it was the model that
    refused.
    """
    result: Embedded | Refused = await call(
        request, _choose(request, work.model).embed.remote, work
    )
    return accept(request, result, result.model)


def _choose(request: Request, model: str | None) -> Any:
    """The handle for a model: replicas that have it loaded come first."""
    state = request.app.state
    return state.extras.get(find_name(model, state.extras), state.embedder)


async def _describe(request: Request) -> list[Model]:
    """The main model, then those beside it, the cross-encoder last."""
    state = request.app.state
    models: list[Model] = await call(request, state.embedder.describe_all.remote)
    note_model(request, models[0])
    return models if state.ranker is None else [*models, state.ranker]


async def _refuse_route(_: Request, error: Exception) -> Response:
    """404 and 405 of the router, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, dict(error.headers or {})
    return error_response(RequestError(status, str(error.detail), headers=headers))


# More than wait for replicas, so that it is the queue in here that refuses, in OpenAI's shape, and
# not Serve's proxy.
@ray_serve.deployment(max_ongoing_requests=4096)
@ray_serve.ingress()
class Api:
    """Serve's ingress around `make_app`, which is built in the replica, so that nothing of it is
    pickled.
    """

    def __init__(self, embedder: Any, front: Front, most: int, reranker: Any = None) -> None:
        stay_on_loopback()
        front.check_serve()
        self.embedder = embedder
        self.reranker = reranker
        self.front = front
        self.most = most
        start_logs(front.log)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self.embedder, self.front, self.reranker, most=self.most)
