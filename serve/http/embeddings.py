"""POST /v1/embeddings, in the shape of OpenAI's API. No text in a log or an error."""

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NotRequired

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.config import LimitsConfig
from serve.errors import RequestError, bad_field
from serve.http import route
from serve.http.front import note
from serve.replica.protocol import EmbedCall, Embedded, OutputType

router = APIRouter(responses=route.ERRORS)

_TokenId = Annotated[int, Field(ge=0, lt=2**31)]
# Fail fast: 10,000 items of a wrong type are one error, not 10,000.
_TokenIds = Annotated[list[_TokenId], Field(min_length=1, fail_fast=True)]
_ListsOfTokenIds = Annotated[list[_TokenIds], Field(min_length=1, fail_fast=True)]
_TRAINED_HEADER = {
    "x-dimensions-trained": {
        "description": "whether the model was trained for these dimensions",
        "schema": {"type": "string", "enum": ["true", "false"]},
    }
}


class TextBody(route.Body):
    """What bodies with texts for the embedding model share."""

    input_type: Literal["query", "document"] | None = Field(
        default=None, description="whose prompt goes in front of a text; null: query"
    )
    prompt_name: str | None = Field(
        default=None, description="instead of input_type: a name in `prompts` of GET /v1/models"
    )
    expected_fingerprint: str | None = Field(
        default=None,
        description="409 unless the served model has this fingerprint: never mix models in one "
        "index",
    )


class EmbeddingRequest(TextBody):
    """Body of POST /v1/embeddings. OpenAI's: input, model, dimensions, encoding_format, user. Ours:
    the rest.
    """

    sample: ClassVar[str] = '{"input": ..., "model": ...}'
    expected: ClassVar[Mapping[str, str]] = {
        "input": "expected a string, a list of strings, a list of token ids, or a list of such "
        "lists; none of them empty, ids whole numbers from 0"
    }

    input: route.Text | route.Texts | _TokenIds | _ListsOfTokenIds = Field(
        description="a text, several, or token ids of the served model as they are, if "
        "limits.token_ids allows"
    )
    model: str = Field(description="a name from GET /v1/models, with or without /<version>")
    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=2**20,
        description="truncated to these first, then scaled to unit length; null: all",
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None,
        description="base64: of little-endian float32; codes are lists either way; null: float",
    )
    user: str | None = Field(default=None, description="accepted, not used")
    truncate: Literal["error", "end"] | None = Field(
        default=None,
        description='of an input that is too long; "end" cuts it, and says so by `truncated`; '
        "null: limits.truncate",
    )
    output_dtype: OutputType | None = Field(
        default=None,
        description="int8, uint8: a byte per dimension by the served table's ranges; binary, "
        "ubinary: a bit; null: float",
    )

    def inputs(self) -> list[str] | list[list[int]]:
        """Return the inputs as a list, all texts or all token ids."""
        given: Any = self.input
        is_single = isinstance(given, str) or isinstance(given[0], int)
        return [given] if is_single else given


@route.exact
class EmbeddingEntry(TypedDict):
    """The embedding of one input: numbers, or base64. `truncated` is there with "truncate":
    "end".
    """

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    truncated: NotRequired[bool]


@route.exact
class EmbeddingAnswer(TypedDict):
    """Embeddings in the order of the inputs."""

    object: Literal["list"]
    data: list[EmbeddingEntry]
    model: str
    usage: route.Usage


@router.post(
    "/v1/embeddings", **route.described(EmbeddingRequest, EmbeddingAnswer, headers=_TRAINED_HEADER)
)
async def embeddings(request: Request) -> Response:
    """Embeddings of the inputs, in their order."""
    body = await route.read_body(request, EmbeddingRequest)
    call = to_call(body, request.app.state.limits)
    note(
        request.scope,
        items=len(call.inputs),
        dimensions=call.dimensions,
        output_dtype=call.output_dtype,
    )
    result: Embedded = await route.ask_model(request, request.app.state.replica.embed, call)
    note(request.scope, tokens=sum(result.tokens), dimensions=result.dimensions)
    # Its full width counts as a dimension that the model was trained for.
    trained = result.dimensions in (result.model["width"], *result.model["dimensions"])
    headers = {"x-dimensions-trained": str(trained).lower()}
    return route.json_response(to_answer(result, body, cuts=call.cuts), result.model, **headers)


def to_call(request: EmbeddingRequest, limits: LimitsConfig) -> EmbedCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    inputs = request.inputs()
    check_inputs(inputs, request, limits)
    if not isinstance(inputs[0], str):
        _check_token_ids(request, limits)
    return EmbedCall(
        inputs=inputs,
        role=request.input_type or "query",
        prompt_name=request.prompt_name,
        cuts=(request.truncate or limits.truncate) == "end",
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
        model=request.model,
        dimensions=request.dimensions,
        output_dtype=request.output_dtype or "float",
        expected_fingerprint=request.expected_fingerprint,
    )


def to_answer(result: Embedded, request: EmbeddingRequest, *, cuts: bool) -> EmbeddingAnswer:
    """Return the answer, in input order. Entries have `truncated` where inputs may be cut."""
    data: list[EmbeddingEntry] = []
    rows = render(result.embeddings, request.encoding_format or "float")
    for index, row in enumerate(rows):
        entry: EmbeddingEntry = {"object": "embedding", "index": index, "embedding": row}
        if cuts:
            entry["truncated"] = result.truncated[index]
        data.append(entry)
    return {
        "object": "list",
        "data": data,
        "model": result.model["name"],
        "usage": route.usage_of(sum(result.tokens)),
    }


def render(rows: npt.NDArray[Any], encoding_format: Literal["float", "base64"]) -> list[Any]:
    """Return each row as JSON takes it: a list of numbers, or base64 of little-endian float32.

    Codes are always lists: OpenAI's client asks for base64 by default, and reads it as float32.
    """
    if encoding_format == "float" or rows.dtype != np.float32:
        return rows.tolist()
    packed = np.ascontiguousarray(rows, dtype="<f4")
    return [base64.b64encode(row).decode() for row in packed]


def check_inputs(inputs: Sequence[Any], request: TextBody, limits: LimitsConfig) -> None:
    """Raise RequestError for too many inputs, or for a prompt that is chosen in two ways."""
    if len(inputs) > limits.max_items:
        raise bad_field(
            "input",
            f"has {len(inputs)} items; at most {limits.max_items} are taken (limits.max_items): "
            "send fewer at a time.",
        )
    if request.prompt_name is not None and request.input_type is not None:
        raise RequestError(
            400, "prompt_name, input_type: expected one of them at most.", "prompt_name"
        )


def _check_token_ids(request: EmbeddingRequest, limits: LimitsConfig) -> None:
    if not limits.token_ids:
        raise bad_field(
            "input",
            "token ids are not taken here, as clients send those of another tokenizer; send texts "
            "(LangChain: check_embedding_ctx_length=False), or have the operator set "
            "limits.token_ids=true.",
        )
    for name in ("input_type", "prompt_name"):
        if getattr(request, name) is not None:
            raise bad_field(
                name, "token ids are taken as they are, no prompt is added; leave it out."
            )
