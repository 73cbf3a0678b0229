"""Requests and responses of POST /v1/rerank, in the shape that Jina, Cohere and infinity have."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from serve.errors import RequestError
from serve.http.limits import LimitsConfig
from serve.http.openapi import RankedEntry, RerankAnswer
from serve.http.parse import Body
from serve.replica.rerank import Ranked, RerankWork

_Text = Annotated[str, Field(min_length=1)]


class RerankRequest(Body):
    """Body of POST /v1/rerank."""

    sample: ClassVar[str] = '{"query": ..., "documents": [...]}'
    expected: ClassVar[Mapping[str, str]] = {
        "query": "expected a string, not an empty one",
        "documents": "expected a list of strings, none of them empty, and one at least",
    }

    query: _Text = Field(description="what the documents may answer")
    documents: Annotated[list[_Text], Field(min_length=1, fail_fast=True)] = Field(
        description="texts to rank; limits.max_items bounds how many"
    )
    model: str | None = Field(
        default=None,
        description=(
            'a name from GET /v1/models that can "rerank", with or without /<version>; null: it'
        ),
    )
    top_n: Annotated[int, Field(ge=1, le=2**31)] | None = Field(
        default=None, description="the best so many come back; null: all of them"
    )
    return_documents: bool | None = Field(
        default=None, description="whether texts come back; null: false"
    )
    truncate: Literal["error", "end"] | None = Field(
        default=None,
        description='of a query and a document that are too long together; "end" cuts the '
        "longer one, and says so by "
        "`truncated`; null: limits.truncate",
    )


def to_rerank_work(request: RerankRequest, limits: LimitsConfig) -> RerankWork:
    """What a replica is asked to do. Raises RequestError for what the limits do not allow."""
    if len(request.documents) > limits.max_items:
        raise RequestError(
            400,
            f"documents: found {len(request.documents)}; at most {limits.max_items} are taken "
            "(limits.max_items): send fewer at a time.",
            "documents",
        )
    return RerankWork(
        query=request.query,
        documents=request.documents,
        top_n=request.top_n,
        cuts=(request.truncate or limits.truncate) == "end",
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
        model=request.model,
    )


def rerank_response(ranked: Ranked, request: RerankRequest, *, cuts: bool) -> RerankAnswer:
    """The answer, best document first. Entries have `truncated` where texts may be cut."""
    results: list[RankedEntry] = []
    for document in ranked.documents:
        entry: RankedEntry = {"index": document.index, "relevance_score": document.score}
        if request.return_documents:
            entry["document"] = {"text": request.documents[document.index]}
        if cuts:
            entry["truncated"] = document.is_cut
        results.append(entry)
    return {
        "object": "list",
        "results": results,
        "model": ranked.model["name"],
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    }
