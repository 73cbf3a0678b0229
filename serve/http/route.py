"""What routes share: read a body, ask a replica, and describe the answer for the OpenAPI document.

A fault in a body is one line that names the field, never a value.
"""

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, with_config
from pydantic_core import ErrorDetails, to_json
from starlette.requests import Request
from starlette.responses import Response

# pydantic cannot read that of typing before Python 3.12
from typing_extensions import TypedDict

from serve.errors import ErrorBody, RequestError, bad_field, explain
from serve.http.front import note_model
from serve.replica.protocol import Model, Refused

Text = Annotated[str, Field(min_length=1)]
# Fail fast: 10,000 items of a wrong type are one error, not 10,000.
Texts = Annotated[list[Text], Field(min_length=1, fail_fast=True)]
exact = with_config(ConfigDict(extra="forbid"))  # of an answer's shape: it has no other fields

# What a route may answer besides 200, for the OpenAPI document.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody}
    for status in (400, 401, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504)
}
_FIELD_NAME = re.compile(r"[A-Za-z_]{1,40}")
_MOST_COST = 1 << 20
# A string, or what is left of one that never ends, so that no body makes the search begin anew at
# each of its quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_MODEL_HEADERS = {
    "x-model-version": {
        "description": "version of the model that answered",
        "schema": {"type": "string"},
    },
    "x-model-fingerprint": {"description": "its fingerprint", "schema": {"type": "string"}},
}


class Body(BaseModel):
    """Base of every body. Unknown fields are refused, so that a misspelt one is never ignored.

    Strict: neither true nor "8" is a number. Lone surrogates, which no tokenizer takes, are refused
    as JSON.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    sample: ClassVar[str] = "{...}"  # what a body looks like
    # what is expected in fields for which pydantic's own words say too little
    expected: ClassVar[Mapping[str, str]] = {}


SomeBody = TypeVar("SomeBody", bound=Body)


@exact
class Usage(TypedDict):
    """Tokens that the model read, special tokens and prompt included."""

    prompt_tokens: int
    total_tokens: int


async def read_body(request: Request, kind: type[SomeBody]) -> SomeBody:
    """Return the body of a request. Raises RequestError: 415 for no JSON, 400 for wrong JSON."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":  # web pages may send other types to localhost
        raise RequestError(
            415,
            "expected the header Content-Type: application/json.",
            code="unsupported_media_type",
        )
    return parse_body(await request.body(), kind)


def parse_body(body: bytes, kind: type[SomeBody]) -> SomeBody:
    """Return the request in a body. Raises RequestError 400 that names the field, not its value.

    Pydantic parses it from its bytes: json.loads would let NaN, lone surrogates and deep nests
    through.
    """
    if not is_cheap(body):
        raise RequestError(
            400, "the body has too many values, or lists in lists; send fewer inputs at a time."
        )
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False, include_input=False)[0], kind) from None


def is_cheap(body: bytes) -> bool:
    """Return whether parsing a body, while nothing else runs, takes at most about 0.1 s.

    8 MiB of "[1]," would take two seconds. What stands in strings costs nothing; they are taken out
    only where a count of the whole body is too high.
    """
    return _cost(body) <= _MOST_COST or _cost(_STRING.sub(b"", body)) <= _MOST_COST


def _cost(body: bytes) -> int:
    """Return the cost of a body's values: a list, an object or a key counts as sixteen numbers."""
    nested = sum(map(body.count, (b"[", b"{", b":")))
    return 16 * nested + body.count(b",")


def _explain(fault: ErrorDetails, kind: type[Body]) -> RequestError:
    """Return one of pydantic's faults as one line."""
    path = fault["loc"]
    if fault["type"] == "json_invalid":
        return RequestError(400, f"the body is not valid JSON: {fault['ctx']['error']}")
    if not path:
        return RequestError(400, f"the body is not a JSON object; expected {kind.sample}")
    name = str(path[0])
    if fault["type"] == "extra_forbidden":
        (nearest,) = difflib.get_close_matches(name[:40], kind.model_fields, n=1, cutoff=0.0)
        # What does not look like a name may be a text.
        shown = name if _FIELD_NAME.fullmatch(name) else None
        message = f"{shown or 'a field'}: unknown; the nearest known field is {nearest!r}."
        return RequestError(400, message, shown)
    if fault["type"] == "missing":
        return bad_field(name, "missing.")
    return bad_field(name, f"{kind.expected.get(name, fault['msg'])}.")


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


def json_response(body: Any, model: Model, **headers: str) -> Response:
    """Return an answer as JSON, with the headers of the model that gave it."""
    # 2,048 embeddings of 384 dimensions as floats: 0.06 s; with the standard library 0.44 s.
    named = model_headers(model) | headers
    return Response(to_json(body), media_type="application/json", headers=named)


def usage_of(tokens: int) -> Usage:
    """Return the count of tokens as OpenAI's API has it."""
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def answers(
    shape: Any, *, of_model: bool = True, headers: Mapping[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses` for 200: the body's shape, and headers that name the model."""
    summary = " ".join(shape.__doc__.partition(".")[0].split())
    described = {**(_MODEL_HEADERS if of_model else {}), **(headers or {})}
    return {200: {"model": shape, "description": summary, "headers": described}}


def described(
    body: type[BaseModel], shape: Any, headers: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what the OpenAPI document says of a POST: the body that it reads, and its answer."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": answers(shape, headers=headers),
    }
