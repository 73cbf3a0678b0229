"""POST /v1/rerank: documents ranked by the cross-encoder, in the shape of Jina and Cohere.

No text in a log or an error.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from fastapi import APIRouter
from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import RequestError
from serve.http.limits import LimitsConfig
from serve.http.openapi import RankedEntry, RerankAnswer, answers, body_of
from serve.http.parse import Body, Text, Texts, read_body
from serve.http.replica_client import ERRORS, ask_model, model_headers
from serve.http.request_log import note
from serve.replica.rerank import Ranked, RerankCall

routes = APIRouter(responses=ERRORS)


class RerankRequest(Body):
    """Body of POST /v1/rerank."""

    sample: ClassVar[str] = '{"query": ..., "documents": [...]}'
    expected: ClassVar[Mapping[str, str]] = {
        "query": "expected a string, not an empty one",
        "documents": "expected a list of strings, none of them empty, and one at least",
    }

    query: Text = Field(description="what the documents may answer")
    documents: Texts = Field(description="texts to rank; limits.max_items bounds how many")
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


@routes.post("/v1/rerank", openapi_extra=body_of(RerankRequest), responses=answers(RerankAnswer))
async def rerank(request: Request) -> Response:
    """The documents, best first, by how well each answers the query."""
    body = await read_body(request, RerankRequest)
    call = to_call(body, request.app.state.limits)
    note(request.scope, items=len(call.documents), top_n=call.top_n)
    ranked = await rank(request, call)
    note(request.scope, tokens=ranked.tokens)
    answer = to_json(to_answer(ranked, body, cuts=call.cuts))
    return Response(answer, media_type="application/json", headers=model_headers(ranked.model))


async def rank(request: Request, call: RerankCall) -> Ranked:
    """Ask the cross-encoder. Raises RequestError 404 where there is none, or if it refused."""
    reranker = request.app.state.reranker
    if reranker is None:
        raise RequestError(
            404,
            "there is nothing to rerank with here; the operator sets rerank.model=<a "
            "cross-encoder>.",
            code="no_reranker",
        )
    ranked: Ranked = await ask_model(request, reranker.rerank.remote, call)
    return ranked


def to_call(request: RerankRequest, limits: LimitsConfig) -> RerankCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    if len(request.documents) > limits.max_items:
        raise RequestError(
            400,
            f"documents: found {len(request.documents)}; at most {limits.max_items} are taken "
            "(limits.max_items): send fewer at a time.",
            "documents",
        )
    return RerankCall(
        query=request.query,
        documents=request.documents,
        top_n=request.top_n,
        cuts=(request.truncate or limits.truncate) == "end",
        max_tokens=limits.max_tokens,
        within_s=limits.request_timeout_s,
        model=request.model,
    )


def to_answer(ranked: Ranked, request: RerankRequest, *, cuts: bool) -> RerankAnswer:
    """Return the answer, best document first. Entries have `truncated` where texts may be cut."""
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
