"""Read a request's body: JSON of known fields. A fault is one line, never with a value."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from serve.errors import RequestError

_KEY = re.compile(r"[A-Za-z_]{1,40}")
_MOST_COST = 1 << 20
# A string, or what is left of one that never ends, so that no body makes the search begin anew at
# each of its quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


Text = Annotated[str, Field(min_length=1)]
# Fail fast: 10,000 items of a wrong type are one error, not 10,000.
Texts = Annotated[list[Text], Field(min_length=1, fail_fast=True)]


class Body(BaseModel):
    """Base of every body. Unknown fields are refused, so that a misspelt one is never ignored.

    Strict: true is no number, "8" neither. Lone surrogates, which no tokenizer takes, are refused
    as JSON.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    sample: ClassVar[str] = "{...}"  # what a body looks like
    # what is said of fields for which pydantic's own words say too little
    expected: ClassVar[Mapping[str, str]] = {}


SomeBody = TypeVar("SomeBody", bound=Body)


async def read_body(request: Request, kind: type[SomeBody]) -> SomeBody:
    """Return the body of a request. Raises RequestError: 415 for no JSON, 400 for wrong JSON."""
    _check_content_type(request)
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
    """Whether a body takes at most about a tenth of a second to parse, while nothing else runs.

    8 MiB of "[1]," would take two seconds. What stands in strings costs nothing; they are taken out
    only where a count of the whole body is too high.
    """
    return _cost(body) <= _MOST_COST or _cost(_STRING.sub(b"", body)) <= _MOST_COST


def _cost(body: bytes) -> int:
    """Return the cost of a body's values: a list, an object or a key counts as sixteen numbers."""
    nested = sum(map(body.count, (b"[", b"{", b":")))
    return 16 * nested + body.count(b",")


def _check_content_type(request: Request) -> None:
    """Raise RequestError 415 for anything but JSON: web pages may send other types to localhost."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            415,
            "expected the header Content-Type: application/json.",
            code="unsupported_media_type",
        )


def _explain(fault: ErrorDetails, kind: type[Body]) -> RequestError:
    """Return one of pydantic's faults as one line. What does not look like a name may be a text."""
    kind_of_fault = fault["type"]
    path = fault["loc"]
    if kind_of_fault == "json_invalid":
        return RequestError(400, f"the body is not valid JSON: {fault['ctx']['error']}")
    if not path:
        return RequestError(400, f"the body is no JSON object; expected {kind.sample}")
    name = str(path[0])
    if kind_of_fault == "extra_forbidden":
        return _unknown_field(name, list(kind.model_fields))
    if kind_of_fault == "missing":
        return RequestError(400, f"{name}: missing.", name)
    return RequestError(400, f"{name}: {kind.expected.get(name, fault['msg'])}.", name)


def _unknown_field(name: str, known: Sequence[str]) -> RequestError:
    nearest = difflib.get_close_matches(name[:40], known, n=1, cutoff=0.0)[0]
    shown = name if _KEY.fullmatch(name) else None
    return RequestError(
        400, f"{shown or 'a field'}: unknown; the nearest known field is {nearest!r}.", shown
    )
