"""POST /v1/rerank: documents ranked by the cross-encoder, in the shape of Jina and Cohere.

No text in a log or an error.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NotRequired

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from serve.config import LimitsConfig
from serve.errors import RequestError, bad_field
from serve.http import route
from serve.http.front import note
from serve.replica.protocol import RerankCall
from serve.replica.rerank import Ranked

router = APIRouter(responses=route.ERRORS)


class RerankRequest(route.Body):
    """Body of POST /v1/rerank."""

    sample: ClassVar[str] = '{"query": ..., "documents": [...]}'
    expected: ClassVar[Mapping[str, str]] = {
        "query": "expected a string, not an empty one",
        "documents": "expected a list of strings, none of them empty, and one at least",
    }

    query: route.Text = Field(description="what the documents may answer")
    documents: route.Texts = Field(description="texts to rank; limits.max_items bounds how many")
    model: str | None = Field(
        default=None,
        description='a name from GET /v1/models that can "rerank", with or without /<version>; '
        "null: it",
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
        "longer one, and says so by `truncated`; null: limits.truncate",
    )


@route.exact
class RankedText(TypedDict):
    """A document as it was sent."""

    text: str


@route.exact
class RankedEntry(TypedDict):
    """A document by its place in the request, and its score.

    `document` is there with `return_documents`, `truncated` with "truncate": "end".
    """

    index: int
    relevance_score: float
    document: NotRequired[RankedText]
    truncated: NotRequired[bool]


@route.exact
class RerankAnswer(TypedDict):
    """Documents, the best first."""

    object: Literal["list"]
    results: list[RankedEntry]
    model: str
    usage: route.Usage


@router.post("/v1/rerank", **route.described(RerankRequest, RerankAnswer))
async def rerank(request: Request) -> Response:
    """The documents, best first, by how well each answers the query."""
    body = await route.read_body(request, RerankRequest)
    call = to_call(body, request.app.state.limits)
    note(request.scope, items=len(call.documents), top_n=call.top_n)
    ranked = await rank(request, call)
    note(request.scope, tokens=ranked.tokens)
    return route.json_response(to_answer(ranked, body, cuts=call.cuts), ranked.model)


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
    ranked: Ranked = await route.ask_model(request, reranker.rerank.remote, call)
    return ranked


def to_call(request: RerankRequest, limits: LimitsConfig) -> RerankCall:
    """Return what a replica is asked. Raises RequestError for what the limits do not allow."""
    if len(request.documents) > limits.max_items:
        raise bad_field(
            "documents",
            f"found {len(request.documents)}; at most {limits.max_items} are taken "
            "(limits.max_items): send fewer at a time.",
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
        "usage": route.usage_of(ranked.tokens),
    }
