"""The private parts of Ray that jobs use are where they were in Ray 2.60."""

from importlib import import_module
from typing import Any

import pytest

from jobs.ray_internals import HEAD_CALL, REPLACED, few_processes, hush_raylet


def test_ray_still_starts_these_processes_as_it_did_and_its_own_ways_are_back_afterwards():
    from ray._private import services
    from ray._private.node import Node

    def current() -> list[Any]:
        return [*(getattr(Node, name) for name in REPLACED), services.start_ray_process]

    before = current()
    assert {"start_monitor", "start_api_server"} <= set(Node.start_head_processes.__code__.co_names)
    assert "start_log_monitor" in Node.start_ray_processes.__code__.co_names
    assert "start_ray_process" in services.start_api_server.__code__.co_names
    with few_processes():
        assert not [own for own, other in zip(before, current(), strict=True) if own == other]
    assert before == current()


def test_the_node_starts_before_the_dashboard_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    from ray._private.node import Node

    started = list[Any]()
    monkeypatch.setattr(Node, "start_api_server", lambda _, **options: started.append(options))
    monkeypatch.setattr(Node, "start_ray_processes", lambda _: started.append("node"))
    node, options = object.__new__(Node), {"include_dashboard": True, "raise_on_failure": True}
    with few_processes():
        node.start_api_server(**options)
        node.start_ray_processes()
    assert started == ["node", options]
    steps = Node.__init__.__code__.co_names
    assert steps.index("start_head_processes") < steps.index("start_ray_processes")


def test_the_dashboard_is_told_of_two_modules_that_it_has(monkeypatch: pytest.MonkeyPatch):
    from ray._private import services

    commands = list[list[str]]()
    monkeypatch.setattr(
        services, "start_ray_process", lambda command, process_type: commands.append(command)
    )
    with few_processes():
        services.start_ray_process(["dashboard.py"], "dashboard")
        services.start_ray_process(
            ["dashboard.py", "--modules-to-load=UsageStatsHead"], "dashboard"
        )
        services.start_ray_process(["raylet"], "raylet")
    assert commands[1:] == [["dashboard.py", "--modules-to-load=UsageStatsHead"], ["raylet"]]
    assert commands[0] == ["dashboard.py", "--modules-to-load=ServeHead,JobHead"]
    for module, name in (("serve.serve_head", "ServeHead"), ("job.job_head", "JobHead")):
        assert hasattr(import_module(f"ray.dashboard.modules.{module}"), name)


def test_the_thread_that_prints_what_rays_processes_say_prints_nothing_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    from ray._private import worker

    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names, (
        "Ray has another way to print them"
    )
    message = {"lines": ["A worker died or was killed"], "pid": "raylet", "is_err": False}
    worker.print_to_stdstream(message, ignore_prefix=False)
    assert "(raylet)" in capfd.readouterr().out
    hush_raylet()
    worker.print_to_stdstream({**message, "lines": ["Another worker died"]}, ignore_prefix=False)
    assert capfd.readouterr() == ("", "")


def test_a_head_answers_the_call_by_which_it_is_asked():
    from ray.core.generated import gcs_service_pb2_grpc

    called: list[str] = []

    class Channel:
        def unary_unary(self, path: str, **_: Any) -> None:
            called.append(path)

    gcs_service_pb2_grpc.NodeInfoGcsServiceStub(Channel())
    assert HEAD_CALL in called
