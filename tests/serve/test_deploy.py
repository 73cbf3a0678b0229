"""What is told of a start that failed."""

from types import SimpleNamespace
from typing import Any

import pytest

from serve.app import ServeConfig
from serve.deploy import reason_of, warn_of_table

RAISED = """A replica failed to start with exception. Retrying. Error:
Traceback (most recent call last):
  File "serve/embedder.py", line 60, in reconfigure
medembed.errors.ModelError: /models/one: weights are damaged; copy them again.
"""


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ({"Api": "", "Embedder": RAISED}, "ModelError: /models/one: weights are damaged; copy them again."),
        ({"Embedder": "ValueError: no\n\n"}, "ValueError: no"),
        ({"Embedder": ""}, "Failed to update the deployments ['Embedder']."),
        ({}, "Failed to update the deployments ['Embedder']."),
    ],
)
def test_a_start_that_failed_is_told_by_what_a_replica_raised(messages: dict[str, str], reason: str):
    deployments = {name: SimpleNamespace(message=message) for name, message in messages.items()}
    app: Any = SimpleNamespace(message="Failed to update the deployments ['Embedder'].", deployments=deployments)
    assert reason_of(app) == reason


def test_a_table_that_a_promotion_could_not_keep_is_told_at_the_start():
    path = {"table": "/ws/tables/one.lance"}
    champion = ServeConfig(model="models:/medembed@champion", table="/ws/tables/one.lance")
    assert "table: /ws/tables/one.lance is of one encoder" in str(warn_of_table(champion, path))
    for fine in (
        ServeConfig(model="models:/medembed@champion", table="/ws/tables"),
        ServeConfig(model="models:/medembed@champion", table="/ws/tables/{key}.lance"),
        ServeConfig(model="models:/medembed@champion"),
        ServeConfig(model="/models/folder", table="/ws/tables/one.lance"),
    ):
        assert warn_of_table(fine, path) is None
