"""Asks a replica on behalf of a route, and turns what went wrong into an answer for the caller."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request

from serve.errors import ErrorBody, explain
from serve.http.access_log import note
from serve.http.messages import model_headers
from serve.replica.metrics import served_by
from serve.replica.protocol import Model, Refused

Answer = TypeVar("Answer")
# What a route may answer besides 200, for the OpenAPI document.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody}
    for status in (400, 401, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504)
}


async def call(request: Request, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """A replica's result. Its errors are explained here: Serve would answer some of them itself, in
    plain text.
    """
    try:
        return await method(*arguments)
    except Exception as error:
        raise explain(error, request.app.state.limits.retry_after_s) from error


def accept(request: Request, result: Answer | Refused, model: Model) -> Answer:
    """The result of a model. Raises RequestError, which names the model, if it was the model that
    refused.
    """
    note_model(request, model)
    if isinstance(result, Refused):
        result.error.headers |= model_headers(model)
        raise result.error
    return result


def note_model(request: Request, model: Model) -> None:
    """Adds which model answered to the request's line in the access log, and to what is counted."""
    served_by(request.scope, model)
    note(request.scope, model=model["name"], version=model["version"])
