"""A start that failed says why."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from medembed.errors import ServiceError
from serve.config import ServeConfig
from serve.operate.deploy import (
    _wait_for_controller,
    _wait_until_up,
    reason_of,
    reason_of_start,
    warn_of_table,
)
from serve.replica.served_model import ModelSettings

RAISED = """A replica failed to start with exception. Retrying. Error:
Traceback (most recent call last):
  File "serve/replica/embedder.py", line 60, in reconfigure
medembed.errors.ModelError: /models/one: weights are damaged; copy them again.
"""


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (
            {"Reranker": "", "Embedder": RAISED},
            "ModelError: /models/one: weights are damaged; copy them again.",
        ),
        ({"Embedder": "ValueError: no\n\n"}, "ValueError: no"),
        ({"Embedder": ""}, "Failed to update the deployments ['Embedder']."),
        ({}, "Failed to update the deployments ['Embedder']."),
    ],
)
def test_a_start_that_failed_is_told_by_what_a_replica_raised(
    messages: dict[str, str], reason: str
):
    deployments = {name: SimpleNamespace(message=message) for name, message in messages.items()}
    app: Any = SimpleNamespace(
        message="Failed to update the deployments ['Embedder'].", deployments=deployments
    )
    assert reason_of(app) == reason


def test_a_serve_that_did_not_start_is_told_in_one_line_with_the_port_that_was_taken():
    crash = (
        "HAProxy crashed during startup: [NOTICE]   (17318) : haproxy version is 2.8.25\n[ALERT]  "
        "  (17318) : Binding [/x/haproxy.cfg:47] for frontend prometheus: cannot bind socket "
        "(Address already in use) for [127.0.0.1:9101]\n[ALERT]    (17318) : Some protocols "
        "failed to start their listeners! Exiting.\n"
    )
    wrapped: Any = RuntimeError("ray::HAProxyManager.ready()\n  File ...\n" + crash)
    wrapped.cause = RuntimeError(crash)
    taken = "Binding [/x/haproxy.cfg:47] for frontend prometheus: cannot bind socket (Address already in use) for "
    assert reason_of_start(wrapped) == f"{taken}[127.0.0.1:9101]"
    assert (
        reason_of_start(TimeoutError("proxies not available after 60s."))
        == "proxies not available after 60s."
    )
    assert reason_of_start(TimeoutError()) == "TimeoutError"


def test_a_table_that_a_promotion_could_not_keep_is_told_at_the_start():
    settings = ModelSettings(model="m", name="n", version="1", table="/ws/tables/one.lance")
    champion = ServeConfig(model="models:/medembed@champion", table="/ws/tables/one.lance")
    assert "table: /ws/tables/one.lance is of one encoder" in str(warn_of_table(champion, settings))
    for fine in (
        ServeConfig(model="models:/medembed@champion", table="/ws/tables"),
        ServeConfig(model="models:/medembed@champion", table="/ws/tables/{key}.lance"),
        ServeConfig(model="models:/medembed@champion"),
        ServeConfig(model="/models/folder", table="/ws/tables/one.lance"),
    ):
        assert warn_of_table(fine, settings) is None


def test_a_serve_that_did_not_start_is_told_before_anything_is_deployed():
    started = Future[None]()
    started.set_exception(ServiceError("serving did not start: RAISED"))
    with pytest.raises(ServiceError, match="RAISED"):
        _wait_for_controller(started)
    with pytest.raises(ServiceError, match="RAISED"):
        _wait_until_up("http://127.0.0.1:9", 60, started)
