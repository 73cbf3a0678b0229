"""Requests and responses in the shape of OpenAI's embeddings API, and our extensions of it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from serve.errors import RequestError
from serve.http.limits import LimitsConfig
from serve.http.openapi import (
    EmbeddingAnswer,
    EmbeddingEntry,
    ModelEntry,
    TokensAnswer,
    TokensEntry,
)
from serve.http.parse import Body
from serve.replica.protocol import Embedded, Model, Tokenized, Work
from serve.replica.render import OutputType, render

_Text = Annotated[str, Field(min_length=1)]
_TokenId = Annotated[int, Field(ge=0, lt=2**31)]
# Fail fast: 10,000 items of a wrong type are one error, not 10,000.
_Texts = Annotated[list[_Text], Field(min_length=1, fail_fast=True)]
_TokenIds = Annotated[list[_TokenId], Field(min_length=1, fail_fast=True)]
_ListsOfTokenIds = Annotated[list[_TokenIds], Field(min_length=1, fail_fast=True)]

_EXPECTED_INPUT = (
    "expected a string, a list of strings, a list of token ids, or a list of such lists; none of "
    "them empty, ids whole numbers from 0"
)


class EmbeddingRequest(Body):
    """Body of POST /v1/embeddings. OpenAI's: input, model, dimensions, encoding_format, user. Ours:
    the rest.
    """

    sample: ClassVar[str] = '{"input": ..., "model": ...}'
    expected: ClassVar[Mapping[str, str]] = {"input": _EXPECTED_INPUT}

    input: _Text | _Texts | _TokenIds | _ListsOfTokenIds = Field(
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
    input_type: Literal["query", "document"] | None = Field(
        default=None, description="whose prompt goes in front of a text; null: query"
    )
    prompt_name: str | None = Field(
        default=None, description="instead of input_type: a name in `prompts` of GET /v1/models"
    )
    truncate: Literal["error", "end"] | None = Field(
        default=None,
        description=(
            'of an input that is too long; "end" cuts it, and says so by '
            "`truncated`; null: limits.truncate"
        ),
    )
    output_dtype: OutputType | None = Field(
        default=None,
        description="int8, uint8: a byte per dimension by the served table's ranges; binary, "
        "ubinary: a bit; null: float",
    )
    expected_fingerprint: str | None = Field(
        default=None,
        description="409 unless the served model has this fingerprint: never mix models in one "
        "index",
    )

    def inputs(self) -> list[str] | list[list[int]]:
        """The inputs as a list, all texts or all token ids."""
        found: Any = self.input
        single = isinstance(found, str) or isinstance(found[0], int)
        return [found] if single else found


class TokensRequest(Body):
    """Body of POST /v1/tokenize, which answers with what the model reads of each input, prompt
    included.
    """

    sample: ClassVar[str] = '{"input": ...}'
    expected: ClassVar[Mapping[str, str]] = {
        "input": "expected a string, or a list of strings, none of them empty"
    }

    input: _Text | _Texts = Field(description="a text, or several")
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


def to_work(request: EmbeddingRequest, limits: LimitsConfig) -> Work:
    """What a replica is asked to do. Raises RequestError for what the limits do not allow."""
    inputs = request.inputs()
    _check_inputs(inputs, limits)
    _check_prompt(request)
    if not isinstance(inputs[0], str):
        _check_token_ids(request, limits)
    return Work(
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


def to_tokens_work(request: TokensRequest, limits: LimitsConfig) -> Work:
    """What a replica is asked to tokenise. Raises RequestError for what the limits do not allow."""
    inputs = [request.input] if isinstance(request.input, str) else request.input
    _check_inputs(inputs, limits)
    _check_prompt(request)
    return Work(
        inputs=inputs,
        role=request.input_type or "query",
        prompt_name=request.prompt_name,
        cuts=True,
        max_tokens=limits.max_tokens,
        model=request.model,
        expected_fingerprint=request.expected_fingerprint,
    )


def _check_inputs(inputs: Sequence[Any], limits: LimitsConfig) -> None:
    if len(inputs) > limits.max_items:
        raise RequestError(
            400,
            f"input: has {len(inputs)} items; at most {limits.max_items} are taken "
            "(limits.max_items): send fewer at a time.",
            "input",
        )


def _check_prompt(request: EmbeddingRequest | TokensRequest) -> None:
    if request.prompt_name is not None and request.input_type is not None:
        raise RequestError(
            400, "prompt_name, input_type: expected one of them at most.", "prompt_name"
        )


def embedding_response(
    result: Embedded, request: EmbeddingRequest, *, cuts: bool
) -> EmbeddingAnswer:
    """The answer, in input order. Entries have `truncated` where inputs may be cut."""
    data: list[EmbeddingEntry] = [
        {"object": "embedding", "index": index, "embedding": embedding}
        for index, embedding in enumerate(
            render(result.embeddings, request.encoding_format or "float")
        )
    ]
    if cuts:
        for entry, truncated in zip(data, result.truncated, strict=True):
            entry["truncated"] = truncated
    tokens = sum(result.tokens)
    return {
        "object": "list",
        "data": data,
        "model": result.model["name"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def tokens_response(result: Tokenized) -> TokensAnswer:
    """The answer, in input order."""
    rows = zip(result.tokens, result.counts, result.truncated, strict=True)
    data: list[TokensEntry] = [
        {"index": index, "ids": ids, "count": count, "truncated": truncated}
        for index, (ids, count, truncated) in enumerate(rows)
    ]
    total = sum(map(len, result.tokens))
    return {
        "object": "list",
        "data": data,
        "model": result.model["name"],
        "max_input_tokens": result.model["max_input_tokens"],
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }


def model_entry(model: Model) -> ModelEntry:
    """The model in GET /v1/models."""
    return {
        "id": model["name"],
        "object": "model",
        "created": 0,
        "owned_by": "medembed",
        **model,
        "trained": bool(model["dimensions"]),
    }


def model_headers(model: Model) -> dict[str, str]:
    """Which model answered, for every response that one stands behind."""
    return {"x-model-version": model["version"], "x-model-fingerprint": model["fingerprint"]}


def embedding_headers(result: Embedded) -> dict[str, str]:
    """`model_headers`, and whether the model was trained for these dimensions; its full width
    counts as such.
    """
    trained = result.dimensions in (result.model["width"], *result.model["dimensions"])
    return {**model_headers(result.model), "x-dimensions-trained": str(trained).lower()}


def _check_token_ids(request: EmbeddingRequest, limits: LimitsConfig) -> None:
    if not limits.token_ids:
        raise RequestError(
            400,
            "input: token ids are not taken here, as clients send those of another tokenizer; "
            "send texts (LangChain: check_embedding_ctx_length=False), or have the operator set "
            "limits.token_ids=true.",
            "input",
        )
    for name in ("input_type", "prompt_name"):
        if getattr(request, name) is not None:
            raise RequestError(
                400,
                f"{name}: token ids are taken as they are, no prompt is added; leave it out.",
                name,
            )
