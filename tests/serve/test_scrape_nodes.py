"""GET /metrics joins what the nodes' agents say. The agents here are two small HTTP servers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serve.errors import RequestError
from serve.http.health import SharedAnswer
from serve.http.scrape import read_cluster, read_nodes
from serve.replica.served_model import ServedModel
from tests.serve.conftest import HASH, KEY, Client, running
from tests.serve.replicas import Replica

PAGE = """# HELP ray_a_total Counted, with a word or two.
# TYPE ray_a_total counter
ray_a_total{{NodeAddress="{node}"}} 1.0
# HELP python_info Of the agent itself.
# TYPE python_info gauge
python_info{{version="3"}} 1.0
# HELP ray_b_ms Timed.
# TYPE ray_b_ms histogram
ray_b_ms_bucket{{NodeAddress="{node}",le="+Inf"}} 2.0
ray_b_ms_count{{NodeAddress="{node}"}} 2.0
ray_b_ms_sum{{NodeAddress="{node}"}} 3.0
"""


def agent(node: str) -> Starlette:
    def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(PAGE.format(node=node))

    return Starlette(routes=[Route("/metrics", metrics)])


async def hang(_: Request) -> PlainTextResponse:
    await asyncio.sleep(5)
    return PlainTextResponse("late")


@pytest.fixture(scope="module")
def agents() -> Iterator[list[str]]:
    """Yield host:port of two agents that answer, of one that hangs, and of one that is gone."""
    apps = [agent("n1"), agent("n2"), Starlette(routes=[Route("/metrics", hang)])]
    with ExitStack() as stack:
        urls = [stack.enter_context(running(app)) for app in apps]
        yield [*(url.removeprefix("http://") for url in urls), "127.0.0.1:1"]


def test_the_metrics_of_all_nodes_are_one_page_and_a_node_that_is_silent_is_told_in_time(
    agents: list[str],
):
    started = time.monotonic()
    page = asyncio.run(read_nodes(agents, timeout_s=0.7))
    assert time.monotonic() - started < 3
    assert page.count("# TYPE") == 3, "each metric has one head"
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert set(families) == {"ray_a", "ray_b_ms", "medembed_node_up"}
    assert [sample.labels["NodeAddress"] for sample in families["ray_a"].samples] == ["n1", "n2"]
    assert {sample.name for sample in families["ray_b_ms"].samples} == {
        "ray_b_ms_bucket",
        "ray_b_ms_count",
        "ray_b_ms_sum",
    }
    up = {sample.labels["node"]: sample.value for sample in families["medembed_node_up"].samples}
    assert up == dict(zip(agents, [1, 1, 0, 0], strict=True))
    with pytest.raises(RequestError, match="none of 1 nodes gave theirs"):
        asyncio.run(read_nodes(agents[-1:], timeout_s=0.5))


def test_a_ray_that_hangs_is_told_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("serve.http.scrape._TIMEOUT_S", 0.1)
    monkeypatch.setattr("serve.http.scrape.list_nodes", lambda: time.sleep(1))
    with pytest.raises(RequestError, match="did not name its nodes within 0.1 s"):
        asyncio.run(read_cluster())


def test_metrics_need_a_key_and_a_flood_of_scrapers_costs_one_reading(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained), hashes=(HASH,))
    readings = []

    async def read() -> str:
        readings.append(1)
        return PAGE.format(node="n1")

    client.app.state.metrics = SharedAnswer(read, 60)
    assert client.get("/metrics").status_code == 401
    answers = [
        client.get("/metrics", headers={"authorization": f"Bearer {KEY}"}) for _ in range(20)
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answers[0].text == PAGE.format(node="n1")
    assert len(readings) == 1


def test_a_process_without_ray_says_so(
    trained: ServedModel, client_of: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    answer = client_of(Replica(trained)).get("/metrics")
    assert answer.status_code == 503
    assert "belongs to no Ray" in answer.json()["error"]["message"]
