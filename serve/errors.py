"""Errors in the shape of OpenAI's API: {"error": {message, type, param, code}}.

A message is one line, and never has the text of an input.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from medembed.errors import MedEmbedError

_CODES = {
    401: "invalid_api_key",
    405: "method_not_allowed",
    413: "body_too_large",
    429: "overloaded",
    500: "server_error",
    503: "replica_lost",
    504: "timed_out",
}


class RequestError(Exception):
    """A request that cannot be answered. `param` names the field at fault.

    All arguments are positional, so that the error can be pickled on its way from a replica.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, param, code, headers)
        self.status = status
        self.message = message
        self.param = param
        self.code = code or _CODES.get(status)
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return {"error": {message, type, param, code}}."""
        kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        if self.status >= 500:
            kind = "server_error"
        return {
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        }


def bad_field(field: str, message: str, code: str | None = None) -> RequestError:
    """Return the 400 for a field of a body, or an item of it such as `input[3]`."""
    return RequestError(400, f"{field}: {message}", field.partition("[")[0], code)


class ErrorDetails(BaseModel):
    """What is inside `error`."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every response that is not a success."""

    error: ErrorDetails


def error_response(error: RequestError) -> JSONResponse:
    """Return the HTTP response for an error."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def explain(error: BaseException, retry_after_s: int) -> RequestError:
    """Return an exception as callers see it; one that nobody foresaw is only a 500."""
    from ray import exceptions
    from ray.serve import exceptions as of_serve

    # What Ray raises for a request whose replica, process or node went away.
    losses = (
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
        exceptions.TaskCancelledError,
        of_serve.DeploymentUnavailableError,
        of_serve.ReplicaUnavailableError,
    )
    if isinstance(error, RequestError):
        return error
    if isinstance(error, of_serve.BackPressureError):
        return queue_is_full(retry_after_s)
    if isinstance(error, losses):
        return replica_is_lost(retry_after_s)
    if isinstance(error, TimeoutError):
        return RequestError(
            504, "no answer within limits.request_timeout_s; send fewer inputs, or try again later."
        )
    if isinstance(error, ClientDisconnect):
        return RequestError(400, "the connection closed before the body was complete.")
    return RequestError(
        500, "the server failed on this request; its log has a line under this x-request-id."
    )


def queue_is_full(retry_after_s: int) -> RequestError:
    """Return the error for a request that neither a replica nor the queue has room for."""
    message = f"the queue is full; try again in {retry_after_s} s."
    return RequestError(429, message, headers={"retry-after": str(retry_after_s)})


def replica_is_lost(retry_after_s: int) -> RequestError:
    """Return the error for a request whose replica went away."""
    message = f"the replica that held this request went away; try again in {retry_after_s} s."
    return RequestError(503, message, headers={"retry-after": str(retry_after_s)})


def log_line(error: BaseException) -> str:
    """Return one line for the log: type and place of an exception.

    Its message follows only if the error is one of ours, which have no texts in them.
    """
    cause = getattr(error, "cause", None) or error  # Ray wraps what a replica raised
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = f": {cause}" if isinstance(cause, MedEmbedError) else ""
    return f"{type(cause).__name__}{place}{message}"


def hide_places(line: str, user_config: Mapping[str, Any]) -> str:
    """Return the line with names of settings for places on storage, which callers need not know."""
    for key, value in user_config.items():
        if isinstance(value, Mapping):
            line = hide_places(line, value)
        elif isinstance(value, str) and "/" in value:
            line = line.replace(value, key)
    return line
