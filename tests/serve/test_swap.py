"""When a swap counts as done, and what of a deployed config it changes."""

from collections.abc import Iterator
from typing import Any

import pytest

from medembed.errors import ServiceError
from medembed.registry.models import Version
from medembed.schema import fingerprint
from serve.app import ServeConfig
from serve.http.openapi import ReplicaEntry
from serve.operate.dashboard import deployed_app, replicas_of, server_url, with_user_config
from serve.operate.promotion import change, follows
from serve.operate.swap import name_changed, wait_until_taken

OLD, NEW = {"model": "m1", "version": "1"}, {"model": "m2", "version": "2"}
OURS = {
    "name": "medembed",
    "import_path": "serve.app:build",
    "args": {"model": "models:/m@champion"},
}
DETAILS: dict[str, Any] = {
    "http_options": {"host": "0.0.0.0", "port": 9000},
    "target_capacity": 50,
    "applications": {
        "medembed": {
            "deployed_app_config": OURS
            | {"deployments": [{"name": "Embedder", "max_queued_requests": 3}]}
        },
        "other": {"deployed_app_config": {"name": "other", "import_path": "a:b"}},
        "imperative": {"deployed_app_config": None},
    },
}


def report(
    replica: str, config: dict[str, str], refused: dict[str, str] | None = None
) -> ReplicaEntry:
    return {
        "replica": replica,
        "version": config["version"],
        "fingerprint": "f",
        "table_version": None,
        "config": fingerprint(config),
        "refused": fingerprint(refused) if refused else None,
        "reason": "ModelError: model: no such folder." if refused else None,
    }


def looks(*steps: tuple[dict[str, str], list[ReplicaEntry]]) -> Any:
    remaining: Iterator[Any] = iter([*steps, *[steps[-1]] * 1000])
    return lambda: next(remaining)


def test_a_swap_is_done_when_every_replica_says_so_and_none_is_on_its_way():
    both = {"a": "RUNNING", "b": "RUNNING"}
    steps = [
        ({"a": "UPDATING", "b": "RUNNING"}, [report("a", OLD), report("b", OLD)]),
        (both, [report("a", NEW), report("b", OLD)]),
        (both, [report("a", NEW)]),  # b did not answer
        (both | {"c": "STARTING"}, [report("a", NEW), report("b", NEW)]),
        (both, [report("a", NEW), report("b", NEW), report("gone", OLD)]),
    ]
    look = looks(*steps)
    assert wait_until_taken(look, NEW, 60) == 2
    assert look() == steps[-1]
    assert wait_until_taken(looks(({}, [])), NEW, 60) == 0


def test_a_replica_that_refused_ends_the_wait_and_one_that_hangs_runs_out_of_time():
    states = {"a": "RUNNING", "b": "RUNNING"}
    with pytest.raises(
        ServiceError, match="1 of 2 replicas could not load it: ModelError: model: no such"
    ):
        wait_until_taken(
            looks((states, [report("a", NEW), report("b", OLD, refused=NEW)])), NEW, 60
        )
    with pytest.raises(ServiceError, match="1 of 2 replicas do not serve it after 0 s"):
        wait_until_taken(looks((states, [report("a", NEW), report("b", OLD, refused=OLD)])), NEW, 0)


def test_a_swap_changes_the_user_config_of_one_deployment_and_nothing_else():
    config = with_user_config(DETAILS, "medembed", NEW)
    ours, other = config["applications"]
    assert ours == OURS | {
        "deployments": [{"name": "Embedder", "max_queued_requests": 3, "user_config": NEW}]
    }
    assert other == {"name": "other", "import_path": "a:b"}
    assert (config["http_options"], config["target_capacity"]) == (DETAILS["http_options"], 50)
    assert (
        "user_config"
        not in DETAILS["applications"]["medembed"]["deployed_app_config"]["deployments"][0]
    )


def test_an_application_that_is_not_ours_is_refused():
    assert deployed_app(DETAILS, "medembed")["args"] == OURS["args"]
    for name, says in (
        ("none", "not deployed there; found: medembed, other"),
        ("other", "import_path"),
        ("imperative", "not deployed from a config"),
    ):
        with pytest.raises(ServiceError, match=says):
            deployed_app(DETAILS, name)


def test_replicas_that_stop_do_not_count_and_all_interfaces_are_reached_at_the_dashboards_host():
    replicas = [
        {"replica_id": name, "state": state}
        for name, state in (("a", "RUNNING"), ("b", "STOPPING"))
    ]
    details = {"applications": {"medembed": {"deployments": {"Embedder": {"replicas": replicas}}}}}
    assert replicas_of(details, "medembed") == {"a": "RUNNING"}
    assert (
        server_url(DETAILS, OURS | {"route_prefix": "/x"}, "http://head:8265")
        == "http://head:9000/x"
    )


def test_a_server_follows_the_champion_or_a_version_of_its_own_model_only(tmp_path: Any):
    version = Version("m", "2", str(tmp_path), "run", {})
    assert [follows(one, version) for one in ("models:/m@champion", "models:/m/1")] == [True, True]
    assert not any(
        follows(one, version)
        for one in ("models:/m@staging", "models:/mm/1", "m", "models:/mm@champion")
    )
    with pytest.raises(ServiceError, match="deployed with models:/other@champion"):
        change(ServeConfig(model="models:/other@champion"), OLD, version)


def test_a_refusal_names_the_model_that_was_to_change_and_not_those_beside_it():
    old = {
        "name": "medembed",
        "model": "a",
        "version": "1",
        "models": {"cardio": {"model": "b", "version": "1"}},
    }
    new = old | {"models": {"cardio": {"model": "c", "version": "2"}}}
    assert (name_changed(new, old), name_changed(old, new)) == (
        "cardio version 2",
        "cardio version 1",
    )
    assert name_changed(old | {"model": "d", "version": "7"}, old) == "medembed version 7"
