"""The HTTP route that searches the embedding table, and ranks anew what it found where a request
asks for it.

Texts never reach a log or an error message.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import RequestError
from serve.http.access_log import note
from serve.http.messages import model_headers
from serve.http.openapi import SearchAnswer, answers, body_of
from serve.http.parse import read_body
from serve.http.replica_client import ERRORS, accept, call, note_model
from serve.http.rerank_api import rank
from serve.http.search_messages import (
    SearchRequest,
    is_for_many,
    k_of,
    search_response,
    to_search_work,
)
from serve.replica.protocol import Refused
from serve.replica.rerank import RerankWork
from serve.replica.search_protocol import Found, Hit

routes = APIRouter(responses=ERRORS)


@routes.post("/v1/search", openapi_extra=body_of(SearchRequest), responses=answers(SearchAnswer))
async def search(request: Request) -> Response:
    """The documents of the served table that are nearest to a query."""
    asked = await read_body(request, SearchRequest)
    work = to_search_work(asked, request.app.state.limits)
    note(
        request.scope,
        queries=len(work.asked),
        filters=len(work.wanted),
        k=work.k,
        dimensions=work.dimensions,
        first_dimensions=work.first_dimensions,
        rerank=asked.rerank,
    )
    result: Found | Refused = await call(request, request.app.state.embedder.search.remote, work)
    found = accept(request, result, result.model)
    if asked.rerank is not None:
        assert isinstance(work.asked, list), "embeddings are refused"
        found = await _rerank(request, work.asked, found, k_of(asked, request.app.state.limits))
        note_model(request, found.model)
    note(
        request.scope,
        tokens=found.tokens,
        dimensions=found.dimensions,
        table_version=found.table["version"],
    )
    body = to_json(search_response(found, for_many=is_for_many(asked)))
    return Response(body, media_type="application/json", headers=model_headers(found.model))


async def _rerank(request: Request, queries: Sequence[str], found: Found, k: int) -> Found:
    """The k documents of each query that the cross-encoder likes best, by the text of the row that
    was found.
    """
    if "text" not in found.table["fields"]:
        raise RequestError(
            400,
            (
                "rerank: this server has no texts; the operator sets search.documents, and text "
                "among search.fields."
            ),
            "rerank",
        )
    pairs = zip(queries, found.hits, strict=True)
    ranked = await asyncio.gather(*(_rank_hits(request, query, hits, k) for query, hits in pairs))
    tokens = found.tokens + sum(tokens for _, tokens in ranked)
    return replace(found, hits=[hits for hits, _ in ranked], tokens=tokens)


async def _rank_hits(
    request: Request, query: str, hits: Sequence[Hit], k: int
) -> tuple[list[Hit], int]:
    """(the best k hits of one query, the tokens that were read for it)."""
    if not hits:
        return [], 0
    limits = request.app.state.limits
    work = RerankWork(
        query,
        [hit.fields["text"] for hit in hits],
        top_n=k,
        cuts=True,
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
    )
    ranked = await rank(request, work)
    best = [
        replace(hits[document.index], relevance=document.score) for document in ranked.documents
    ]
    return best, ranked.tokens
