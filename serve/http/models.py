"""GET /v1/models: the served model, and the cross-encoder if there is one."""

from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.errors import RequestError
from serve.http import route
from serve.http.front import note_model
from serve.replica.protocol import (
    Capability,
    Model,
    TableFacts,
    Training,
    check_model,
    model_names,
)

router = APIRouter(responses=route.ERRORS)


@route.exact
class ModelEntry(TypedDict):
    """A served model. `trained` says whether there are trained dimensions, or any is taken as it
    comes.

    `prompts` are its prompts by name. `has_roles`: a text has another embedding as a document than
    as a query. `training`: fingerprints of the model that it began with (`parent`, which may be had
    as `parent_model`) and of the data set, and scores of the dev sample; null for a stock model.

    Of a model that can `rerank` only name, version and fingerprint are known, the rest is null.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    trained: bool
    name: str
    version: str
    fingerprint: str
    capabilities: list[Capability]
    width: int | None
    dimensions: list[int]
    prompts: dict[str, str] | None
    has_roles: bool | None
    pooling: list[str] | None
    max_input_tokens: int | None
    vocabulary: int | None
    int8_ranges: str | None
    training: Training | None
    table: TableFacts | None


@route.exact
class ModelList(TypedDict):
    """All served models."""

    object: Literal["list"]
    data: list[ModelEntry]


@router.get("/v1/models", responses=route.answers(ModelList))
async def list_models(request: Request) -> Response:
    """The served models: version, fingerprint, width, trained dimensions."""
    models = await _describe(request)
    entries = [_entry(model) for model in models]
    return route.json_response({"object": "list", "data": entries}, models[0])


@router.get("/v1/models/{name:path}", responses=route.answers(ModelEntry))
async def retrieve_model(request: Request, name: str) -> Response:
    """The same for one name; 404 if it is not served."""
    models = await _describe(request)
    model = next((model for model in models if name in model_names(model)), models[0])
    try:
        check_model(name, model)
    except RequestError as error:
        error.headers |= route.model_headers(model)
        raise
    return route.json_response(_entry(model), model)


async def _describe(request: Request) -> list[Model]:
    """Return the embedding model, then the cross-encoder."""
    state = request.app.state
    model: Model = await route.ask(request, state.replica.describe)
    note_model(request.scope, model)
    return [model] if state.ranker is None else [model, state.ranker]


def _entry(model: Model) -> ModelEntry:
    return {
        "id": model["name"],
        "object": "model",
        "created": 0,
        "owned_by": "medembed",
        **model,
        "trained": bool(model["dimensions"]),
    }
