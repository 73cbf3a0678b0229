"""One search in a replica: the query's embedding, the documents near it, their fields. No Serve in here."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import truncate
from medembed.search.indexed import index_search
from medembed.search.memory import HeldRows
from medembed.search.topk import Ranking
from serve.answer import Served, count
from serve.errors import RequestError
from serve.search_work import Found, Hit, Plan, SearchWork, plan_search
from serve.table import SearchTable
from serve.work import Embedded, Refused, Work, too_long

Embed = Callable[[Work], Awaitable[Embedded | Refused]]


async def search(work: SearchWork, serving: Callable[[], Served], embed: Embed) -> Found | Refused:
    """What the served table has near the query, or why it was refused.

    `embed` is the replica's own, so that a query shares forward passes with all that arrives. Where models were
    swapped before it answered, the search begins again: model and table are one pair.
    """
    while True:
        served = serving()
        try:
            plan = plan_search(work, served.model)
            query, tokens = await _embed(work, served, embed) or (None, 0)
        except RequestError as error:
            return Refused(error, served.model)
        if query is not None:
            return await asyncio.to_thread(find, served, work.k, plan, query, tokens)


def find(served: Served, k: int, plan: Plan, query: npt.NDArray[np.float32], tokens: int) -> Found:
    """The k best documents for a query float32 [D], by the plan."""
    assert served.table is not None, "a search without a table is refused"
    table = served.table
    ranking = _rank(table, k, plan, truncate(query[None], table.table.info.width))
    ids, rows = (names[0][names[0] != ""].tolist() for names in (ranking.ids, ranking.row_ids))
    fields = table.documents.find(rows) if table.documents else [{} for _ in rows]
    hits = [Hit(*one) for one in zip(ids, ranking.scores[0].tolist(), rows, fields, strict=False)]
    return Found(hits, plan.dimensions, tokens, table.facts(), served.model)


def _rank(table: SearchTable, k: int, plan: Plan, query: npt.NDArray[np.float32]) -> Ranking:
    if not isinstance(table.rows, HeldRows):
        return index_search(table.rows, query, k, by_document=True)
    return table.rows.funnel(query, k, plan.funnel) if plan.funnel else table.rows.search(query, k, plan.dimensions)


async def _embed(work: SearchWork, served: Served, embed: Embed) -> tuple[npt.NDArray[np.float32], int] | None:
    """(the query's embedding [D], its tokens); None if another model made it. Raises RequestError."""
    if not isinstance(work.asked, str):
        return work.asked, 0
    asked = Work((work.asked,), cuts=True)
    embedded = await embed(asked)
    if embedded.model != served.model:
        return None
    if isinstance(embedded, Refused):
        raise embedded.error
    if embedded.truncated[0]:
        tokens = await asyncio.to_thread(count, served, asked, 0)
        raise too_long("query", tokens, served.model, "shorten it")
    return embedded.embeddings[0], embedded.tokens[0]
