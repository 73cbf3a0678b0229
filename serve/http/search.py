"""POST /v1/search: the documents near a query, ranked again by the cross-encoder if asked.

No text in a log or an error.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.errors import bad_field
from serve.http import route
from serve.http.front import note, note_model
from serve.http.rerank import rank
from serve.http.search_body import SearchRequest, to_call
from serve.replica.protocol import RerankCall
from serve.replica.search import Hit, SearchResult

router = APIRouter(responses=route.ERRORS)


@route.exact
class ResultEntry(TypedDict):
    """What one of several queries found, the best first."""

    index: int
    data: list[Hit]


@route.exact
class SearchedTable(TypedDict):
    """The table that was searched."""

    version: int
    rows: int
    fingerprint: str


@route.exact
class SearchAnswer(TypedDict):
    """Documents, the best first; of several queries a list of documents for each, in their
    order.
    """

    object: Literal["list"]
    data: list[Hit] | list[ResultEntry]
    dimensions: int
    model: str
    table: SearchedTable
    usage: route.Usage


class RankedHits(NamedTuple):
    """The best documents of one query by the cross-encoder, and the tokens that it read."""

    hits: list[Hit]
    tokens: int


@router.post("/v1/search", **route.described(SearchRequest, SearchAnswer))
async def search(request: Request) -> Response:
    """The documents of the served table that are nearest to a query."""
    body = await route.read_body(request, SearchRequest)
    limits = request.app.state.limits
    call = to_call(body, limits)
    note(
        request.scope,
        queries=len(call.queries),
        filters=len(call.filter),
        k=call.k,
        dimensions=call.dimensions,
        first_dimensions=call.first_dimensions,
        first_codes=call.first_codes,
        rerank=body.rerank,
    )
    result: SearchResult = await route.ask_model(request, request.app.state.replica.search, call)
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
    return route.json_response(to_answer(result, for_many=body.is_for_many()), result.model)


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
        [hit["fields"]["text"] for hit in hits],
        top_n=k,
        cuts=True,
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
    )
    ranked = await rank(request, call)
    best: list[Hit] = []
    for document in ranked.documents:
        hit = hits[document.index]
        relevance = document.score
        best.append({"id": hit["id"], "score": hit["score"], "relevance_score": relevance, **hit})
    return RankedHits(best, ranked.tokens)


def to_answer(result: SearchResult, *, for_many: bool) -> SearchAnswer:
    """Return the answer, best document first; `for_many`: a list of documents for each query."""
    many: list[ResultEntry] = []
    for index, hits in enumerate(result.hits):
        many.append({"index": index, "data": hits})
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
        "usage": route.usage_of(result.tokens),
    }
