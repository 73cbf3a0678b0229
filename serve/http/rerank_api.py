"""The HTTP route that ranks documents by a cross-encoder. Texts never reach a log or an error
message.
"""

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import RequestError
from serve.http.access_log import note
from serve.http.messages import model_headers
from serve.http.openapi import RerankAnswer, answers, body_of
from serve.http.parse import read_body
from serve.http.replica_client import ERRORS, accept, call
from serve.http.rerank_messages import RerankRequest, rerank_response, to_rerank_work
from serve.replica.protocol import Refused
from serve.replica.rerank import Ranked, RerankWork

routes = APIRouter(responses=ERRORS)


@routes.post("/v1/rerank", openapi_extra=body_of(RerankRequest), responses=answers(RerankAnswer))
async def rerank(request: Request) -> Response:
    """The documents, best first, by how well each answers the query."""
    asked = await read_body(request, RerankRequest)
    work = to_rerank_work(asked, request.app.state.limits)
    note(request.scope, items=len(work.documents), top_n=work.top_n)
    ranked = await rank(request, work)
    note(request.scope, tokens=ranked.tokens)
    body = to_json(rerank_response(ranked, asked, cuts=work.cuts))
    return Response(body, media_type="application/json", headers=model_headers(ranked.model))


async def rank(request: Request, work: RerankWork) -> Ranked:
    """What the cross-encoder makes of it. Raises RequestError 404 where there is none, or if it
    refused.
    """
    reranker = request.app.state.reranker
    if reranker is None:
        raise RequestError(
            404,
            (
                "there is nothing to rerank with here; the operator sets rerank.model=<a "
                "cross-encoder>."
            ),
            code="no_reranker",
        )
    result: Ranked | Refused = await call(request, reranker.rerank.remote, work)
    return accept(request, result, result.model)
