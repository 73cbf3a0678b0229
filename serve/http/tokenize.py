"""POST /v1/tokenize: what a model reads of texts, to cut documents and count costs as it does."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from fastapi import APIRouter
from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serve.http.embeddings import check_items, check_one_prompt
from serve.http.limits import LimitsConfig
from serve.http.openapi import TokensAnswer, TokensEntry, answers, body_of
from serve.http.parse import Body, Text, Texts, read_body
from serve.http.replica_client import ERRORS, ask_model, model_headers
from serve.http.request_log import note
from serve.replica.protocol import EmbedCall, Tokenized

routes = APIRouter(responses=ERRORS)


class TokensRequest(Body):
    """Body of POST /v1/tokenize, which answers with what the model reads of each input, prompt
    included.
    """

    sample: ClassVar[str] = '{"input": ...}'
    expected: ClassVar[Mapping[str, str]] = {
        "input": "expected a string, or a list of strings, none of them empty"
    }

    input: Text | Texts = Field(description="a text, or several")
    model: str | None = Field(
        default=None, description="a name from GET /v1/models; null: the main one"
    )
    input_type: Literal["query", "document"] | None = Field(
        default=None, description="whose prompt goes in front of a text; null: query"
    )
    prompt_name: str | None = Field(
        default=None, description="instead of input_type: a name in `prompts` of GET /v1/models"
    )
    expected_fingerprint: str | None = Field(
        default=None, description="409 unless the served model has this fingerprint"
    )


@routes.post("/v1/tokenize", openapi_extra=body_of(TokensRequest), responses=answers(TokensAnswer))
async def tokenize(request: Request) -> Response:
    """What the model reads of each input: token ids, prompt included, and how many there are. No
    text comes back.
    """
    body = await read_body(request, TokensRequest)
    call = to_call(body, request.app.state.limits)
    note(request.scope, items=len(call.inputs))
    result: Tokenized = await ask_model(request, request.app.state.embedder.tokenize.remote, call)
    answer = to_json(to_answer(result))
    return Response(answer, media_type="application/json", headers=model_headers(result.model))


def to_call(request: TokensRequest, limits: LimitsConfig) -> EmbedCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    inputs = [request.input] if isinstance(request.input, str) else request.input
    check_items(inputs, limits)
    check_one_prompt(request.prompt_name, request.input_type)
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
    total = 0
    for index, ids in enumerate(result.tokens):
        total += len(ids)
        data.append(
            {
                "index": index,
                "ids": ids,
                "count": result.counts[index],
                "truncated": result.truncated[index],
            }
        )
    return {
        "object": "list",
        "data": data,
        "model": result.model["name"],
        "max_input_tokens": result.model["max_input_tokens"],
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }
