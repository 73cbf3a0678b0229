"""Describe answers, and the key that requests need, for the OpenAPI document."""

from typing import Any, Literal, NotRequired

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, with_config

# typing's own, before Python 3.12, is none that pydantic reads
from typing_extensions import TypedDict

from serve.replica.protocol import Capability, TableFacts, Training

REPLICAS = "/health/replicas"  # the route that a promotion asks
_exact = with_config(ConfigDict(extra="forbid"))
_MODEL_HEADERS = {
    "x-model-version": {
        "description": "version of the model that answered",
        "schema": {"type": "string"},
    },
    "x-model-fingerprint": {"description": "its fingerprint", "schema": {"type": "string"}},
}
_TRAINED_HEADER = {
    "x-dimensions-trained": {
        "description": "whether the model was trained for these dimensions",
        "schema": {"type": "string", "enum": ["true", "false"]},
    }
}


@_exact
class Usage(TypedDict):
    """Tokens that the model read, special tokens and prompt included."""

    prompt_tokens: int
    total_tokens: int


@_exact
class EmbeddingEntry(TypedDict):
    """The embedding of one input: numbers, or base64. `truncated` is there with "truncate":
    "end".
    """

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    truncated: NotRequired[bool]


@_exact
class EmbeddingAnswer(TypedDict):
    """Embeddings in the order of the inputs."""

    object: Literal["list"]
    data: list[EmbeddingEntry]
    model: str
    usage: Usage


@_exact
class TokensEntry(TypedDict):
    """The token ids that the model reads of one input; `count` are those of the whole input, were
    it not truncated.
    """

    index: int
    ids: list[int]
    count: int
    truncated: bool


@_exact
class TokensAnswer(TypedDict):
    """Tokens in the order of the inputs."""

    object: Literal["list"]
    data: list[TokensEntry]
    model: str
    max_input_tokens: int
    usage: Usage


@_exact
class ModelEntry(TypedDict):
    """A served model. `trained` says whether there are trained dimensions, or any is taken as it
    comes.

    `prompts` are its prompts by name. `has_roles`: a text has another embedding as a document than
    as a query. `training`: fingerprints of the model that it began with (`parent`, which may be had
    as `parent_model`) and of the data set, and scores of the dev sample; null for a stock model.

    Of a model that can `rerank` only name, version and fingerprint are known, the rest is null.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    trained: bool
    name: str
    version: str
    fingerprint: str
    capabilities: list[Capability]
    width: int | None
    dimensions: list[int]
    prompts: dict[str, str] | None
    has_roles: bool | None
    pooling: list[str] | None
    max_input_tokens: int | None
    vocabulary: int | None
    int8_ranges: str | None
    training: Training | None
    table: TableFacts | None


@_exact
class ModelList(TypedDict):
    """All served models."""

    object: Literal["list"]
    data: list[ModelEntry]


@_exact
class RankedText(TypedDict):
    """A document as it was sent."""

    text: str


@_exact
class RankedEntry(TypedDict):
    """A document by its place in the request, and its score.

    `document` is there with `return_documents`, `truncated` with "truncate": "end".
    """

    index: int
    relevance_score: float
    document: NotRequired[RankedText]
    truncated: NotRequired[bool]


@_exact
class RerankAnswer(TypedDict):
    """Documents, the best first."""

    object: Literal["list"]
    results: list[RankedEntry]
    model: str
    usage: Usage


@_exact
class HitEntry(TypedDict):
    """A document found; `row_id` is there where one of its chunks gave the score, `fields` where
    there are any.

    `relevance_score`, by which documents are then ordered, is there with `rerank`.
    """

    id: str
    score: float
    relevance_score: NotRequired[float]
    row_id: NotRequired[str]
    fields: NotRequired[dict[str, Any]]


@_exact
class ResultEntry(TypedDict):
    """What one of several queries found, the best first."""

    index: int
    data: list[HitEntry]


@_exact
class SearchedTable(TypedDict):
    """The table that was searched."""

    version: int
    rows: int
    fingerprint: str


@_exact
class SearchAnswer(TypedDict):
    """Documents, the best first; of several queries a list of documents for each, in their
    order.
    """

    object: Literal["list"]
    data: list[HitEntry] | list[ResultEntry]
    dimensions: int
    model: str
    table: SearchedTable
    usage: Usage


@_exact
class ReplicaEntry(TypedDict):
    """What a replica serves, if it could load a model.

    `config`, `refused`: fingerprints of the user_config that it took, and could not take, for this
    `reason`.
    """

    replica: str
    version: str | None
    fingerprint: str | None
    table_version: int | None
    config: str
    refused: str | None
    reason: str | None


@_exact
class ReplicaList(TypedDict):
    """All replicas that answer."""

    replicas: list[ReplicaEntry]


@_exact
class Live(TypedDict):
    """The process answers."""

    status: Literal["live"]


@_exact
class Ready(TypedDict):
    """The model with this fingerprint answers."""

    status: Literal["ready"]
    fingerprint: str


def answers(
    shape: Any, *, of_model: bool = True, of_dimensions: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses` for 200: the body's shape, and headers that name the model."""
    headers = (_MODEL_HEADERS if of_model else {}) | (_TRAINED_HEADER if of_dimensions else {})
    summary = " ".join(shape.__doc__.partition(".")[0].split())
    return {200: {"model": shape, "description": summary, "headers": headers}}


def body_of(shape: type[BaseModel]) -> dict[str, Any]:
    """Return a route's `openapi_extra`: it reads a body of this shape itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": shape.model_json_schema()}},
        }
    }


def require_key(app: FastAPI, open_paths: tuple[str, ...]) -> None:
    """Have the document say that all paths but these need an API key."""
    plain = app.openapi

    def keyed() -> dict[str, Any]:
        document = plain()
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in open_paths else [{"key": []}]
        return document

    app.openapi = keyed  # type: ignore[method-assign]  # FastAPI's documented way to extend its document
