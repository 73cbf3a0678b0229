"""One search in a replica: the query's embedding, the documents near it, their fields. No Serve in
here.
"""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from medembed.matryoshka import truncate
from medembed.search.in_memory import RowsInMemory
from medembed.search.indexed import index_search
from medembed.search.ranking import Ranking
from serve.errors import RequestError
from serve.replica.compute import Served, count
from serve.replica.protocol import Embedded, Refused, Work, too_long
from serve.replica.search_protocol import Found, Hit, Plan, SearchWork, plan_search
from serve.replica.table import SearchTable

Embed = Callable[[Work], Awaitable[Embedded | Refused]]


async def search(work: SearchWork, serving: Callable[[], Served], embed: Embed) -> Found | Refused:
    """What the served table has near the query, or why it was refused.

    `embed` is the replica's own, so that a query shares forward passes with all that arrives. Where
    models were swapped before it answered, the search begins again: model and table are one pair.
    """
    while True:
        served = serving()
        try:
            plan = plan_search(work, served.model)
            queries, tokens = await _embed(work, served, embed) or (None, 0)
        except RequestError as error:
            return Refused(error, served.model)
        if queries is not None:
            return await asyncio.to_thread(find, served, plan, queries, tokens)


def find(served: Served, plan: Plan, queries: npt.NDArray[np.float32], tokens: int) -> Found:
    """The best documents for each query float32 [Q, D], by the plan."""
    assert served.table is not None, "a search without a table is refused"
    table = served.table
    ranking = _rank(table, plan, truncate(queries, table.table.info.width))
    hits = [_hits(table, ranking, line) for line in range(len(queries))]
    return Found(hits, plan.dimensions, tokens, table.facts(), served.model)


def _rank(table: SearchTable, plan: Plan, queries: npt.NDArray[np.float32]) -> Ranking:
    if not isinstance(table.rows, RowsInMemory):
        return index_search(table.rows, queries, plan.k, by_document=True)
    among = table.documents.match(plan.wanted) if table.documents and plan.wanted else None
    if plan.funnel:
        return table.rows.funnel(queries, plan.k, plan.funnel, among)
    return table.rows.search(queries, plan.k, plan.dimensions, among)


def _hits(table: SearchTable, ranking: Ranking, line: int) -> list[Hit]:
    """The documents of one query, best first; a ranking has empty places behind them where there
    are fewer than k.
    """
    count = int((ranking.ids[line] != "").sum())
    ids = ranking.ids[line][:count].tolist()
    rows = ranking.row_ids[line][:count].tolist()
    scores = ranking.scores[line][:count].astype(np.float32).tolist()
    fields = table.documents.find(rows) if table.documents else [{} for _ in rows]
    return [Hit(*hit) for hit in zip(ids, scores, rows, fields, strict=True)]


async def _embed(
    work: SearchWork, served: Served, embed: Embed
) -> tuple[npt.NDArray[np.float32], int] | None:
    """(the queries' embeddings [Q, D], their tokens); None if another model made them. Raises
    RequestError.
    """
    if isinstance(work.asked, np.ndarray):
        return work.asked, 0
    asked = Work(work.asked, work.role, cuts=True, max_tokens=work.max_tokens)
    embedded = await embed(asked)
    if embedded.model != served.model:
        return None
    if isinstance(embedded, Refused):
        raise embedded.error
    if any(embedded.truncated):
        number = embedded.truncated.index(True)
        tokens = await asyncio.to_thread(count, served, asked, number)
        raise too_long(
            f"query[{number}]" if len(work.asked) > 1 else "query",
            tokens,
            served.model,
            "shorten it",
        )
    return embedded.embeddings, sum(embedded.tokens)
