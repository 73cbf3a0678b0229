"""POST /v1/search: the documents near a query, ranked again by the cross-encoder if asked.

No text in a log or an error.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, NotRequired

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.errors import bad_field
from serve.http.front import note, note_model
from serve.http.rerank import rank
from serve.http.route import (
    ERRORS,
    Usage,
    answers,
    ask_model,
    body_of,
    exact,
    json_response,
    read_body,
    usage_of,
)
from serve.http.search_body import SearchRequest, to_call
from serve.replica.rerank import RerankCall
from serve.replica.search_call import Hit, SearchResult

routes = APIRouter(responses=ERRORS)


@exact
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


@exact
class ResultEntry(TypedDict):
    """What one of several queries found, the best first."""

    index: int
    data: list[HitEntry]


@exact
class SearchedTable(TypedDict):
    """The table that was searched."""

    version: int
    rows: int
    fingerprint: str


@exact
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


class RankedHits(NamedTuple):
    """The best documents of one query by the cross-encoder, and the tokens that it read."""

    hits: list[Hit]
    tokens: int


@routes.post("/v1/search", openapi_extra=body_of(SearchRequest), responses=answers(SearchAnswer))
async def search(request: Request) -> Response:
    """The documents of the served table that are nearest to a query."""
    body = await read_body(request, SearchRequest)
    limits = request.app.state.limits
    call = to_call(body, limits)
    note(
        request.scope,
        queries=len(call.queries),
        filters=len(call.filter),
        k=call.k,
        dimensions=call.dimensions,
        first_dimensions=call.first_dimensions,
        rerank=body.rerank,
    )
    result: SearchResult = await ask_model(request, request.app.state.embedder.search.remote, call)
    if body.rerank is not None:
        assert isinstance(call.queries, list), "embeddings are refused"
        result = await _rerank(request, call.queries, result, body.k_or_default(limits))
        note_model(request.scope, result.model)
    note(
        request.scope,
        tokens=result.tokens,
        dimensions=result.dimensions,
        table_version=result.table["version"],
    )
    return json_response(to_answer(result, for_many=body.is_for_many()), result.model)


async def _rerank(
    request: Request, queries: Sequence[str], result: SearchResult, k: int
) -> SearchResult:
    """Return the k best documents of each query by the cross-encoder, which reads their `text`."""
    if "text" not in result.table["fields"]:
        raise bad_field(
            "rerank",
            "this server has no texts; the operator sets search.documents, and text among "
            "search.fields.",
        )
    pairs = zip(queries, result.hits, strict=True)
    ranked = await asyncio.gather(*(_rank_hits(request, query, hits, k) for query, hits in pairs))
    tokens = result.tokens + sum(each.tokens for each in ranked)
    return replace(result, hits=[each.hits for each in ranked], tokens=tokens)


async def _rank_hits(request: Request, query: str, hits: Sequence[Hit], k: int) -> RankedHits:
    if not hits:
        return RankedHits([], 0)
    limits = request.app.state.limits
    call = RerankCall(
        query,
        [hit.fields["text"] for hit in hits],
        top_n=k,
        cuts=True,
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
    )
    ranked = await rank(request, call)
    best: list[Hit] = []
    for document in ranked.documents:
        best.append(replace(hits[document.index], relevance=document.score))
    return RankedHits(best, ranked.tokens)


def to_answer(result: SearchResult, *, for_many: bool) -> SearchAnswer:
    """Return the answer, best document first; `for_many`: a list of documents for each query."""
    has_fields = bool(result.table["fields"])
    many: list[ResultEntry] = []
    for index, hits in enumerate(result.hits):
        many.append({"index": index, "data": [_entry(hit, has_fields) for hit in hits]})
    return {
        "object": "list",
        "data": many if for_many else many[0]["data"],
        "dimensions": result.dimensions,
        "model": result.model["name"],
        "table": {
            "version": result.table["version"],
            "rows": result.table["rows"],
            "fingerprint": result.table["fingerprint"],
        },
        "usage": usage_of(result.tokens),
    }


def _entry(hit: Hit, has_fields: bool) -> HitEntry:
    entry: HitEntry = {"id": hit.document_id, "score": hit.score}
    if hit.relevance is not None:
        entry["relevance_score"] = hit.relevance
    if hit.row_id != hit.document_id:
        entry["row_id"] = hit.row_id
    if has_fields:
        entry["fields"] = hit.fields
    return entry
