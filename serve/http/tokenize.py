"""POST /v1/tokenize: what a model reads of texts, to cut documents and count costs as it does."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.config import LimitsConfig
from serve.http import route
from serve.http.embeddings import TextBody, check_inputs
from serve.http.front import note
from serve.replica.protocol import EmbedCall, Tokenized

router = APIRouter(responses=route.ERRORS)


class TokensRequest(TextBody):
    """Body of POST /v1/tokenize, which answers with what the model reads of each input, prompt
    included.
    """

    sample: ClassVar[str] = '{"input": ...}'
    expected: ClassVar[Mapping[str, str]] = {
        "input": "expected a string, or a list of strings, none of them empty"
    }

    input: route.Text | route.Texts = Field(description="a text, or several")
    model: str | None = Field(
        default=None, description="a name from GET /v1/models; null: the main one"
    )


@route.exact
class TokensEntry(TypedDict):
    """The token ids that the model reads of one input; `count` are those of the whole input, were
    it not truncated.
    """

    index: int
    ids: list[int]
    count: int
    truncated: bool


@route.exact
class TokensAnswer(TypedDict):
    """Tokens in the order of the inputs."""

    object: Literal["list"]
    data: list[TokensEntry]
    model: str
    max_input_tokens: int
    usage: route.Usage


@router.post("/v1/tokenize", **route.described(TokensRequest, TokensAnswer))
async def tokenize(request: Request) -> Response:
    """What the model reads of each input: token ids, prompt included, and how many there are. No
    text comes back.
    """
    body = await route.read_body(request, TokensRequest)
    call = to_call(body, request.app.state.limits)
    note(request.scope, items=len(call.inputs))
    result: Tokenized = await route.ask_model(request, request.app.state.replica.tokenize, call)
    return route.json_response(to_answer(result), result.model)


def to_call(request: TokensRequest, limits: LimitsConfig) -> EmbedCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    inputs = [request.input] if isinstance(request.input, str) else request.input
    check_inputs(inputs, request, limits)
    return EmbedCall(
        inputs=inputs,
        role=request.input_type or "query",
        prompt_name=request.prompt_name,
        cuts=True,
        max_tokens=limits.max_tokens,
        model=request.model,
        expected_fingerprint=request.expected_fingerprint,
    )


def to_answer(result: Tokenized) -> TokensAnswer:
    """Return the answer, in input order."""
    data: list[TokensEntry] = []
    columns = zip(result.tokens, result.counts, result.truncated, strict=True)
    for index, (ids, count, is_cut) in enumerate(columns):
        data.append({"index": index, "ids": ids, "count": count, "truncated": is_cut})
    return {
        "object": "list",
        "data": data,
        "model": result.model["name"],
        "max_input_tokens": result.model["max_input_tokens"],
        "usage": route.usage_of(sum(map(len, result.tokens))),
    }
