"""Search the served table for one request: queries to embeddings to documents. No Serve in here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import truncate
from medembed.search.in_memory import RowsInMemory
from medembed.search.indexed import index_search
from medembed.search.ranking import Ranking
from serve.errors import RequestError
from serve.replica.compute import count_input
from serve.replica.protocol import EmbedCall, Embedded, Refused, too_long
from serve.replica.search_call import Hit, SearchCall, SearchPlan, SearchResult, plan_search
from serve.replica.served_model import ServedModel
from serve.replica.table import SearchTable

Embed = Callable[[EmbedCall], Awaitable[Embedded | Refused]]


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
            return await asyncio.to_thread(_find, served, plan, queries)


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
        field = f"query[{number}]" if len(call.queries) > 1 else "query"
        raise too_long(field, tokens, served.model, "shorten it")
    return Queries(embedded.embeddings, sum(embedded.tokens))


def _find(served: ServedModel, plan: SearchPlan, queries: Queries) -> SearchResult:
    assert served.table is not None, "a search without a table is refused"
    table = served.table
    ranking = _rank(table, plan, truncate(queries.embeddings, table.table.info.width))
    hits = [_hits_of(table, ranking, line) for line in range(len(queries.embeddings))]
    return SearchResult(hits, plan.dimensions, queries.tokens, table.facts(), served.model)


def _rank(table: SearchTable, plan: SearchPlan, embeddings: npt.NDArray[np.float32]) -> Ranking:
    if not isinstance(table.rows, RowsInMemory):
        return index_search(table.rows, embeddings, plan.k, by_document=True)
    among = table.documents.match(plan.filter) if table.documents and plan.filter else None
    if plan.funnel:
        return table.rows.funnel(embeddings, plan.k, plan.funnel, among)
    return table.rows.search(embeddings, plan.k, plan.dimensions, among)


def _hits_of(table: SearchTable, ranking: Ranking, line: int) -> list[Hit]:
    """Return the documents of one query, best first; fewer than k leave empty places behind."""
    count = int((ranking.ids[line] != "").sum())
    ids = ranking.ids[line][:count].tolist()
    row_ids = ranking.row_ids[line][:count].tolist()
    scores = ranking.scores[line][:count].astype(np.float32).tolist()
    fields = table.documents.read_fields(row_ids) if table.documents else [{}] * count
    hits = zip(ids, scores, row_ids, fields, strict=True)
    return [Hit(*hit) for hit in hits]
