"""When a swap counts as done, and what of a deployed config it changes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medembed.encoding.int8_graph import FACTS
from medembed.errors import ServiceError
from medembed.registry.models import Version
from medembed.schema import fingerprint
from serve.config import ServeConfig
from serve.operate.dashboard import deployed_app, replicas_of, server_url, with_user_config
from serve.operate.promotion import check_follows, check_int8, swap_to
from serve.operate.swap import ServerState, wait_until_taken
from serve.replica.protocol import ReplicaEntry

OLD = {"model": "m1", "version": "1"}
NEW = {"model": "m2", "version": "2"}
BOTH = {"a": "RUNNING", "b": "RUNNING"}
OURS = {
    "name": "medembed",
    "import_path": "serve.app:build",
    "args": {"model": "models:/m@champion"},
}
DEPLOYMENT = {"name": "Embedder", "max_queued_requests": 3}
DETAILS: dict[str, Any] = {
    "http_options": {"host": "0.0.0.0", "port": 9000},
    "target_capacity": 50,
    "applications": {
        "medembed": {"deployed_app_config": OURS | {"deployments": [DEPLOYMENT]}},
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


def looks(*states: ServerState) -> Callable[[], ServerState]:
    """See these states one after another, then the last one again and again."""
    remaining = list(states)
    return lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0]


def test_a_swap_is_done_when_every_replica_says_so_and_none_is_on_its_way():
    states = [
        ServerState({"a": "UPDATING", "b": "RUNNING"}, [report("a", OLD), report("b", OLD)]),
        ServerState(BOTH, [report("a", NEW), report("b", OLD)]),
        ServerState(BOTH, [report("a", NEW)]),  # b did not answer
        ServerState(BOTH | {"c": "STARTING"}, [report("a", NEW), report("b", NEW)]),
        ServerState(BOTH, [report("a", NEW), report("b", NEW), report("gone", OLD)]),
    ]
    seen: list[ServerState] = []
    look = looks(*states)
    assert wait_until_taken(lambda: seen.append(look()) or seen[-1], NEW, 60) == 2
    assert seen == states
    assert wait_until_taken(looks(ServerState({}, [])), NEW, 60) == 0


def test_a_replica_that_refused_ends_the_wait_and_one_that_hangs_runs_out_of_time():
    refused = ServerState(BOTH, [report("a", NEW), report("b", OLD, refused=NEW)])
    with pytest.raises(ServiceError, match="1 of 2 replicas could not load it: ModelError: model"):
        wait_until_taken(looks(refused), NEW, 60)
    hangs = ServerState(BOTH, [report("a", NEW), report("b", OLD, refused=OLD)])
    with pytest.raises(ServiceError, match="1 of 2 replicas do not serve it after 0 s"):
        wait_until_taken(looks(hangs), NEW, 0)


def test_a_swap_changes_the_user_config_of_one_deployment_and_nothing_else():
    config = with_user_config(DETAILS, "medembed", NEW)
    ours, other = config["applications"]
    assert ours == OURS | {"deployments": [DEPLOYMENT | {"user_config": NEW}]}
    assert other == {"name": "other", "import_path": "a:b"}
    assert config["http_options"] == DETAILS["http_options"]
    assert config["target_capacity"] == 50
    assert "user_config" not in DEPLOYMENT, "what was given is as it was"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "not deployed there; found: medembed, other"),
        ("other", "import_path"),
        ("imperative", "not deployed from a config"),
    ],
)
def test_an_application_that_is_not_ours_is_refused(name: str, says: str):
    assert deployed_app(DETAILS, "medembed")["args"] == OURS["args"]
    with pytest.raises(ServiceError, match=says):
        deployed_app(DETAILS, name)


def test_replicas_that_stop_do_not_count_and_all_interfaces_are_reached_at_the_dashboards_host():
    replicas = [
        {"replica_id": "a", "state": "RUNNING"},
        {"replica_id": "b", "state": "STOPPING"},
    ]
    details = {"applications": {"medembed": {"deployments": {"Embedder": {"replicas": replicas}}}}}
    assert replicas_of(details, "medembed") == {"a": "RUNNING"}
    url = server_url(DETAILS, OURS | {"route_prefix": "/x"}, "http://head:8265")
    assert url == "http://head:9000/x"


def test_a_server_follows_the_champion_or_a_version_of_its_own_model_only():
    version = Version("m", "2", "somewhere", "run", {})
    for model in ("models:/m@champion", "models:/m/1"):
        check_follows(ServeConfig(model=model), version)
    for model in ("models:/m@staging", "models:/mm/1", "m", "models:/mm@champion"):
        with pytest.raises(ServiceError, match=f"deployed with {model}; expected models:/m@cham"):
            check_follows(ServeConfig(model=model), version)


def test_a_server_in_int8_refuses_a_version_without_an_int8_graph_and_says_what_to_run(
    encoder_folder: Path, tmp_path: Path
):
    version = Version("m", "2", str(encoder_folder), "run", {})
    server: Any = SimpleNamespace(
        app={"args": {"model": "models:/m@champion", "precision": "int8"}}
    )
    with pytest.raises(ServiceError, match="models:/m/2: has no int8 graph, but the server was"):
        swap_to(server, version)
    folder = shutil.copytree(encoder_folder, tmp_path / "model")
    (folder / FACTS).parent.mkdir()
    (folder / FACTS).touch()
    check_int8(Version("m", "3", str(folder), "run", {}))
