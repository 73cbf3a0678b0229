"""GET /metrics: what every node of the Ray cluster counts, as one page for Prometheus.

Each node's agent exports its own series on a port that Ray chooses, which a Prometheus elsewhere
cannot know.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import RequestError
from serve.http import route

PATH = "/metrics"
FRESH_FOR_S = 5.0  # Ray's processes report every 10 s
_TIMEOUT_S = 5.0  # for all nodes together: Prometheus gives up after 10 s
_UP = "medembed_node_up"
# Of the agents' own processes: without a label that tells nodes apart, and of no use to anybody.
_AGENTS_OWN = ("python_", "process_", "target_info")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics in Prometheus' text format", "content": {"text/plain": {}}}
}

logger = logging.getLogger(__name__)
router = APIRouter(responses=route.ERRORS)


@router.get(PATH, response_class=Response, responses=_PAGE)
async def metrics(request: Request) -> Response:
    """Metrics of all nodes, those of Ray included. One reading serves all that ask within five
    seconds.
    """
    return Response(await request.app.state.metrics.get(), media_type=_TEXT)


async def read_cluster() -> str:
    """Return the metrics of the nodes that are alive. Raises RequestError 503 without any."""
    try:
        nodes = await asyncio.wait_for(asyncio.to_thread(list_nodes), _TIMEOUT_S)
    except TimeoutError:
        raise RequestError(
            503, f"metrics: Ray did not name its nodes within {_TIMEOUT_S:g} s."
        ) from None
    return await read_nodes(nodes)


def list_nodes() -> list[str]:
    """Return host:port of the agents of all live nodes. Raises RequestError 503 without a Ray."""
    import ray

    if not ray.is_initialized():
        raise RequestError(503, "metrics: this process belongs to no Ray, which counts them.")
    alive = [node for node in ray.nodes() if node["Alive"]]
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in alive]


async def read_nodes(nodes: Sequence[str], timeout_s: float = _TIMEOUT_S) -> str:
    """Return the metrics of these agents, and which of them did not answer in time.

    Raises RequestError 503 if none did.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        pages = await asyncio.gather(*(_read(session, node) for node in nodes))
    read: list[str] = []
    states = [f"# HELP {_UP} 1 for a node whose metrics are on this page, else 0."]
    states.append(f"# TYPE {_UP} gauge")
    for node, page in zip(nodes, pages, strict=True):
        states.append(f'{_UP}{{node="{node}"}} {int(page is not None)}')
        if page is not None:
            read.append(page)
    if not read:
        raise RequestError(
            503, f"metrics: none of {len(nodes)} nodes gave theirs within {timeout_s:g} s."
        )
    return merge([*read, "\n".join(states)])


async def _read(session: aiohttp.ClientSession, node: str) -> str | None:
    try:
        async with session.get(f"http://{node}{PATH}") as answer:
            answer.raise_for_status()
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
        logger.warning("no metrics of node %s: %s", node, type(error).__name__)
        return None


def merge(pages: Sequence[str]) -> str:
    """Return one page of several, with the lines of a metric together below one HELP and TYPE.

    What agents count of themselves is left out: the same series on each page.
    """
    heads: dict[str, dict[str, str]] = {}
    series: dict[str, list[str]] = {}
    for page in pages:
        name = ""
        for line in filter(None, page.splitlines()):
            if line.startswith("# "):
                _, kind, name, *_ = line.split(" ", 3)
                heads.setdefault(name, {}).setdefault(kind, line)
                series.setdefault(name, [])
            else:
                series.setdefault(name, []).append(line)
    lines: list[str] = []
    for name, rows in series.items():
        if not name.startswith(_AGENTS_OWN):
            lines += [*heads.get(name, {}).values(), *rows]
    return "\n".join(lines) + "\n"
