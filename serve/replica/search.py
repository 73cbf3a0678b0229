"""Search the served table for one request: queries to embeddings to documents. No Serve in here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from medembed.codes import Codes
from medembed.encoding.reading import Role
from medembed.errors import MedEmbedError, ModelError
from medembed.matryoshka import check_trained, truncate
from medembed.search.funnel import CANDIDATES, Funnel
from medembed.search.in_memory import RowsInMemory
from medembed.search.indexed import index_search
from medembed.search.ranking import Ranking
from serve.errors import RequestError, bad_field
from serve.replica.compute import count_input
from serve.replica.protocol import (
    EmbedCall,
    Embedded,
    Model,
    Refused,
    TableFacts,
    check_fingerprint,
    check_model,
    too_long,
)
from serve.replica.served_model import ServedModel
from serve.replica.table import SearchTable

Embed = Callable[[EmbedCall], Awaitable[Embedded | Refused]]


@dataclass(frozen=True, eq=False)
class SearchCall:
    """What a search request asks of a replica; None asks for nothing special.

    `queries` are texts, of this `role`, or embeddings float32 [Q, D]. Each gets `k` documents. A
    document must have one of the values of each field in `filter`.
    """

    queries: Sequence[str] | npt.NDArray[np.float32]
    k: int
    role: Role = "query"
    filter: Mapping[str, Sequence[str]] = field(default_factory=dict)
    max_tokens: int | None = None
    dimensions: int | None = None
    first_dimensions: int | None = None
    first_codes: Codes | None = None
    candidates: int = CANDIDATES
    model: str | None = None
    expected_fingerprint: str | None = None


@with_config(ConfigDict(extra="forbid"))
class Hit(TypedDict):
    """A document found; `row_id` is there where one of its chunks gave the score, `fields` where
    there are any.

    `relevance_score`, by which documents are then ordered, is there with `rerank`.
    """

    id: str
    score: float
    relevance_score: NotRequired[float]
    row_id: NotRequired[str]
    fields: NotRequired[dict[str, Any]]


@dataclass(frozen=True)
class SearchResult:
    """The documents of each query, best first, and the table and model that found them."""

    hits: list[list[Hit]]
    dimensions: int
    tokens: int
    table: TableFacts
    model: Model


class SearchPlan(NamedTuple):
    """The dimensions that rank, and the funnel if there is one."""

    dimensions: int
    funnel: Funnel | None


class Queries(NamedTuple):
    """Embeddings of queries, float32 [Q, D], and the tokens that were read for them."""

    embeddings: npt.NDArray[np.float32]
    tokens: int


async def search(
    call: SearchCall, serving: Callable[[], ServedModel], embed: Embed
) -> SearchResult | Refused:
    """Return the documents near the queries of one request.

    `embed` is the replica's own, so that a query shares forward passes with all that arrives. If
    models were swapped before it answered, the search begins again: model and table are one pair.
    """
    while True:
        served = serving()
        try:
            plan = plan_search(call, served.model)
            queries = await _embed_queries(call, served, embed)
        except RequestError as error:
            return Refused(error, served.model)
        if queries is not None:
            return await asyncio.to_thread(_find, served, call, plan, queries)


async def _embed_queries(call: SearchCall, served: ServedModel, embed: Embed) -> Queries | None:
    """Return the embeddings of the queries; None if another model made them."""
    if isinstance(call.queries, np.ndarray):
        return Queries(call.queries, 0)
    texts = EmbedCall(call.queries, call.role, cuts=True, max_tokens=call.max_tokens, field="query")
    embedded = await embed(texts)
    if embedded.model != served.model:
        return None
    if isinstance(embedded, Refused):
        raise embedded.error
    if any(embedded.truncated):
        number = embedded.truncated.index(True)
        tokens = await asyncio.to_thread(count_input, texts, served, number)
        name = f"query[{number}]" if len(call.queries) > 1 else "query"
        raise too_long(name, tokens, served.model, "shorten it")
    return Queries(embedded.embeddings, sum(embedded.tokens))


def _find(
    served: ServedModel, call: SearchCall, plan: SearchPlan, queries: Queries
) -> SearchResult:
    table = served.table
    assert table is not None, "a search without a table is refused"
    ranking = _rank(table, call, plan, truncate(queries.embeddings, table.table.info.width))
    return SearchResult(
        _list_hits(table, ranking), plan.dimensions, queries.tokens, table.facts(), served.model
    )


def _rank(
    table: SearchTable, call: SearchCall, plan: SearchPlan, embeddings: npt.NDArray[np.float32]
) -> Ranking:
    if not isinstance(table.rows, RowsInMemory):
        return index_search(table.rows, embeddings, call.k, by_document=True)
    among = table.documents.match(call.filter) if table.documents and call.filter else None
    if plan.funnel:
        return table.rows.funnel(embeddings, call.k, plan.funnel, among)
    return table.rows.search(embeddings, call.k, plan.dimensions, among)


def _list_hits(table: SearchTable, ranking: Ranking) -> list[list[Hit]]:
    """Return the documents of each query, best first."""
    ids = ranking.ids.tolist()
    row_ids = ranking.row_ids.tolist()
    scores = ranking.scores.astype(np.float32).tolist()
    return [_hits_of(table, *lists) for lists in zip(ids, row_ids, scores, strict=True)]


def _hits_of(
    table: SearchTable, ids: Sequence[str], row_ids: Sequence[str], scores: Sequence[float]
) -> list[Hit]:
    """Return the documents of one query; fewer than k leave empty places behind."""
    hits: list[Hit] = []
    for document_id, row_id, score in zip(ids, row_ids, scores, strict=True):
        if not document_id:
            break
        hit: Hit = {"id": document_id, "score": score}
        if row_id != document_id:
            hit["row_id"] = row_id
        if table.documents and table.documents.names:
            hit["fields"] = table.documents.read_fields(row_id)
        hits.append(hit)
    return hits


def plan_search(call: SearchCall, model: Model) -> SearchPlan:
    """Return how the table is searched. Raises RequestError for what it cannot give."""
    check_model(call.model, model)
    check_fingerprint(call.expected_fingerprint, model)
    table = model["table"]
    if table is None:
        raise RequestError(
            404,
            "there is nothing to search here; the operator sets table=<embedding table of this "
            "model>, and search.enabled=true.",
            code="no_table",
        )
    _check_width(call.queries, table, model)
    _check_filter(call.filter, table)
    dimensions = call.dimensions or table["width"]
    _check_dimensions("dimensions", dimensions, table, model)
    if table["by"] == "index":
        _check_index(call, dimensions, table)
    _check_codes(call.first_codes, table)
    codes = call.first_codes or table["codes"]
    first = call.first_dimensions
    if first is None and codes is None:
        return SearchPlan(dimensions, None)
    if first is not None:
        _check_dimensions("first_dimensions", first, table, model)
    funnel = Funnel(first or dimensions, dimensions, call.candidates, codes)
    try:
        funnel.check(call.k, table["width"])
    except MedEmbedError as error:
        raise RequestError(400, str(error), str(error).partition(":")[0]) from None
    return SearchPlan(dimensions, funnel)


def _check_index(call: SearchCall, dimensions: int, table: TableFacts) -> None:
    given: dict[str, object] = {
        "first_dimensions": call.first_dimensions,
        "first_codes": call.first_codes,
        "dimensions": dimensions if dimensions < table["width"] else None,
    }
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise bad_field(
            wrong[0],
            f"this server searches by an index, which has all {table['width']} dimensions; leave "
            "them out.",
        )


def _check_codes(codes: Codes | None, table: TableFacts) -> None:
    held = table["codes"] or table["storage"]
    if codes == "int8" and held != "int8":
        raise bad_field(
            "first_codes", f"this server holds {held}, no int8; choose binary, or leave it out."
        )


def _check_dimensions(name: str, dimensions: int, table: TableFacts, model: Model) -> None:
    trained = [width for width in model["dimensions"] if width <= table["width"]]
    try:
        check_trained([dimensions], trained, table["width"])
    except ModelError as error:
        raise RequestError(400, str(error).replace("dimensions", name, 1), name) from None


def _check_filter(filter: Mapping[str, Sequence[str]], table: TableFacts) -> None:
    if filter and table["by"] == "index":
        raise bad_field(
            "filter", "this server searches by an index, which has no fields; leave it out."
        )
    unknown = [name for name in filter if name not in table["fields"]]
    if unknown:
        known = ", ".join(table["fields"])
        known = known or "none (the operator sets search.documents and search.fields)"
        raise bad_field("filter", f"found {len(unknown)} unknown fields; known here: {known}.")


def _check_width(
    queries: Sequence[str] | npt.NDArray[np.float32], table: TableFacts, model: Model
) -> None:
    widths = sorted({table["width"], model["width"]})
    if isinstance(queries, np.ndarray) and queries.shape[1] not in widths:
        raise bad_field(
            "embedding",
            f"has {queries.shape[1]} values, expected {' or '.join(map(str, widths))}: a whole "
            "embedding of this model; `dimensions` cuts it.",
        )
