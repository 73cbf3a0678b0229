"""What Ray prints of its own accord stays off the screen."""

import pytest

from jobs.hush import hush_raylet


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
