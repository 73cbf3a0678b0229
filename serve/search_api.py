"""The HTTP route that searches the embedding table. Texts never reach a log or an error message."""

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serve.access import note
from serve.bodies import read_body
from serve.calls import ERRORS, accept, call
from serve.messages import model_headers
from serve.openapi import SearchAnswer, answers, body_of
from serve.search_messages import SearchRequest, is_for_many, search_response, to_search_work
from serve.search_work import Found
from serve.work import Refused

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
    )
    result: Found | Refused = await call(request, request.app.state.embedder.search.remote, work)
    found = accept(request, result, result.model)
    note(request.scope, tokens=found.tokens, dimensions=found.dimensions, table_version=found.table["version"])
    body = to_json(search_response(found, for_many=is_for_many(asked)))
    return Response(body, media_type="application/json", headers=model_headers(found.model))
