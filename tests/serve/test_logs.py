"""Lines of replicas go where they should, and no request waits for them."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.logs import PIPE, LineWriter, copied, make_pipe, start_logs


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Put the loggers back as they were."""
    named = [logging.getLogger(name) for name in ("serve", "medembed", "serve.access")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in named]
    yield
    for logger, (handlers, propagates, level) in zip(named, before, strict=True):
        logger.handlers = handlers
        logger.propagate = propagates
        logger.setLevel(level)


def log_three() -> None:
    logging.getLogger("serve.access").info("%s", '{"status": 200}')
    logging.getLogger("serve.replica.embedder").error("not swapped: %s", "no such folder")
    logging.getLogger("medembed.encoding").info("a detail")


def test_requests_and_faults_are_json_lines_on_standard_error_or_output(
    capfd: pytest.CaptureFixture[str],
):
    start_logs("stderr")
    start_logs("stderr")  # again changes nothing
    log_three()
    captured = capfd.readouterr()
    request, fault = map(json.loads, captured.err.splitlines())
    assert request == {"status": 200}
    assert (fault["level"], fault["message"]) == ("error", "not swapped: no such folder")
    assert captured.out == ""
    start_logs("stdout")
    log_three()
    captured = capfd.readouterr()
    assert (len(captured.out.splitlines()), captured.err) == (2, "")
    start_logs("off")
    log_three()
    (line,) = capfd.readouterr().err.splitlines()
    assert "not swapped" in line


def test_lines_of_a_replica_come_through_the_pipe_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pipe = make_pipe(str(tmp_path))
    assert os.stat(pipe).st_mode & 0o777 == 0o600
    monkeypatch.setenv(PIPE, pipe)
    stream = io.BytesIO()
    with copied(pipe, stream):
        start_logs("stderr")
        log_three()
        os.close(logging.getLogger("serve").handlers[0].descriptor)  # as when the replica ends
    assert [json.loads(line).get("status") for line in stream.getvalue().splitlines()] == [
        200,
        None,
    ]


def test_nobody_waits_for_a_log_that_nobody_reads_and_what_was_lost_is_told(tmp_path: Path):
    pipe = make_pipe(str(tmp_path))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    line = logging.makeLogRecord({"msg": "x" * 1000})
    for _ in range(200):
        writer.emit(line)
    lost = writer.lost
    assert lost > 100
    while len(os.read(reader, 1 << 16)) == 1 << 16:
        pass
    writer.emit(line)
    first, second = os.read(reader, 1 << 16).decode().splitlines()
    assert json.loads(first)["lost_lines"] == lost
    assert second == "x" * 1000
    os.close(reader)
    os.close(writer.descriptor)


def test_a_full_disk_costs_lines_and_no_request():
    writer = LineWriter(os.open("/dev/full", os.O_WRONLY))
    writer.emit(logging.makeLogRecord({"msg": "x"}))
    assert writer.lost == 1
    os.close(writer.descriptor)
