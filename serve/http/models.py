"""GET /v1/models: the served model, and the cross-encoder if there is one."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.errors import RequestError
from serve.http.openapi import ModelEntry, ModelList, answers
from serve.http.replica_client import ERRORS, ask, model_headers
from serve.http.request_log import note_model
from serve.replica.protocol import Model, check_model, model_names

routes = APIRouter(responses=ERRORS)


@routes.get("/v1/models", responses=answers(ModelList))
async def list_models(request: Request) -> Response:
    """The served models: version, fingerprint, width, trained dimensions."""
    models = await _describe(request)
    entries = [_entry(model) for model in models]
    return JSONResponse({"object": "list", "data": entries}, headers=model_headers(models[0]))


@routes.get("/v1/models/{name:path}", responses=answers(ModelEntry))
async def retrieve_model(request: Request, name: str) -> Response:
    """The same for one name; 404 if it is not served."""
    models = await _describe(request)
    model = next((model for model in models if name in model_names(model)), models[0])
    try:
        check_model(name, model)
    except RequestError as error:
        error.headers |= model_headers(model)
        raise
    return JSONResponse(_entry(model), headers=model_headers(model))


async def _describe(request: Request) -> list[Model]:
    """Return the embedding model, then the cross-encoder."""
    state = request.app.state
    model: Model = await ask(request, state.embedder.describe.remote)
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
