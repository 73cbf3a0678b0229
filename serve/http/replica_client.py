"""Ask a replica on behalf of a route, and turn what goes wrong into an answer for the caller."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from serve.errors import ErrorBody, explain
from serve.http.request_log import note_model
from serve.replica.protocol import Model, Refused

# What a route may answer besides 200, for the OpenAPI document.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody}
    for status in (400, 401, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504)
}


async def ask(request: Request, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Return a replica's result. Raises RequestError for whatever went wrong.

    Errors are explained here, as Serve would answer some of them itself, in plain text.
    """
    try:
        return await method(*arguments)
    except Exception as error:
        raise explain(error, request.app.state.limits.retry_after_s) from error


async def ask_model(
    request: Request, method: Callable[..., Awaitable[Any]], *arguments: Any
) -> Any:
    """Return a model's result. Raises RequestError, which names the model, if it refused."""
    result = await ask(request, method, *arguments)
    note_model(request.scope, result.model)
    if isinstance(result, Refused):
        result.error.headers |= model_headers(result.model)
        raise result.error
    return result


def model_headers(model: Model) -> dict[str, str]:
    """Return the headers that say which model answered."""
    return {"x-model-version": model["version"], "x-model-fingerprint": model["fingerprint"]}
