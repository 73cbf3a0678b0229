"""HTTP routes: OpenAI's embeddings API. Texts never reach a log or an error message."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray import serve
from starlette.exceptions import HTTPException

from medembed.matryoshka import truncate
from serve.embedder import Work
from serve.messages import EmbeddingRequest, RequestError, embedding_response

routes = FastAPI(title="MedEmbed", docs_url=None, redoc_url=None)


@routes.exception_handler(RequestError)
async def _refuse(_: Request, error: RequestError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status)


@routes.exception_handler(RequestValidationError)
async def _refuse_body(_: Request, error: RequestValidationError) -> JSONResponse:
    """FastAPI's 422 in OpenAI's shape; names the field, never its value."""
    fault = error.errors()[0]
    param = next((str(part) for part in fault["loc"] if part != "body" and isinstance(part, str)), None)
    message = fault["msg"] if fault["type"] != "json_invalid" else "the body is not valid JSON"
    return await _refuse(_, RequestError(400, f"{param or 'body'}: {message}", param=param))


@routes.exception_handler(HTTPException)
async def _refuse_route(_: Request, error: HTTPException) -> JSONResponse:
    return await _refuse(_, RequestError(error.status_code, str(error.detail)))


# Helpers stand above the class: Serve pickles the routes, with the names they use, when it decorates it.
def _names(model: dict[str, Any]) -> set[str]:
    return {model["name"], f"{model['name']}/{model['version']}"}


def _headers(model: dict[str, Any]) -> dict[str, str]:
    return {"x-model-version": str(model["version"]), "x-model-fingerprint": model["fingerprint"]}


def _check_dimensions(asked: int | None, model: dict[str, Any]) -> int:
    """The dimensions to answer with; a trained checkpoint answers only with those it was trained for."""
    if asked is None:
        return int(model["width"])
    allowed = sorted({*model["dimensions"], model["width"]}, reverse=True)
    if model["dimensions"] and asked not in allowed:
        raise RequestError(400, f"dimensions: found {asked}; this model was trained for {allowed}", param="dimensions")
    if asked > model["width"]:
        raise RequestError(400, f"dimensions: found {asked}; this model has {model['width']}", param="dimensions")
    return asked


@serve.deployment(max_ongoing_requests=256)
@serve.ingress(routes)
class Api:
    """Checks requests, has them embedded, truncates to the dimensions asked for."""

    def __init__(self, embedder: Any) -> None:
        self.embedder = embedder

    @routes.post("/v1/embeddings")
    async def embeddings(self, request: EmbeddingRequest) -> JSONResponse:
        result = await self.embedder.embed.remote(Work(tuple(request.texts()), request.input_type))
        model = result.model
        if request.model not in _names(model):
            message = f"model {request.model!r} is not served here; served: {model['name']!r}"
            raise RequestError(404, message, param="model", code="model_not_found")
        dimensions = _check_dimensions(request.dimensions, model)
        body = embedding_response(truncate(result.embeddings, dimensions), result.tokens, request, model["name"])
        return JSONResponse(body, headers=_headers(model))

    @routes.get("/v1/models")
    async def models(self) -> JSONResponse:
        model = await self.embedder.describe.remote()
        entry = {"id": model["name"], "object": "model", "created": 0, "owned_by": "medembed", **model}
        return JSONResponse({"object": "list", "data": [entry]}, headers=_headers(model))

    @routes.get("/health/ready")
    async def ready(self) -> dict[str, str]:
        result = await self.embedder.embed.remote(Work(("ready",), "query"))
        return {"status": "ready", "fingerprint": result.model["fingerprint"]}
