"""What is wrong with an MLflow is one line, in seconds; this is also the canary of its texts."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from medembed.errors import ServiceError
from medembed.registry.connect import connect, explain


@pytest.fixture(autouse=True)
def in_seconds() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 30


def test_two_processes_can_open_an_empty_registry_together(tmp_path: Path):
    code = f"from medembed.registry.connect import connect; connect('sqlite:///{tmp_path}/m.db')"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]


def test_a_server_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    before = dict(os.environ)
    refused = (
        r"^MLflow at http://127.0.0.1:1: cannot be used: Failed to establish .*: \[Errno 111\] "
        r"Connection refused\. Give"
    )
    with pytest.raises(ServiceError, match=refused):
        connect("http://user:secret@127.0.0.1:1")
    assert {name: os.environ.get(name) for name in before} == before


def damage(kind: str, good: bytes, file: Path) -> None:
    match kind:
        case "garbage":
            file.write_bytes(b"no database" * 1000)
        case "half":
            file.write_bytes(good[: len(good) // 2])
        case "middle":
            file.write_bytes(good[:4096] + b"x" * 40_960 + good[45_056:])
        case "folder":
            file.mkdir()
        case _:
            file.write_bytes(good)
            with closing(sqlite3.connect(file)) as database, database:
                database.execute(kind)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("garbage", "file is not a database"),
        ("half", "malformed"),
        ("middle", "malformed"),
        ("folder", "unable to open database file"),
        ("update alembic_version set version_num = 'another'", "found version another"),
        ("drop table registered_models", "migration in unexpected state|no such table"),
    ],
)
def test_a_damaged_file_is_one_line(kind: str, says: str, empty_registry: Path, tmp_path: Path):
    damage(kind, (empty_registry / "mlflow/mlflow.db").read_bytes(), tmp_path / "mlflow.db")
    with pytest.raises(ServiceError, match=says) as caught:
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert "\n" not in str(caught.value)
    assert "mlflow.db: cannot be used" in str(caught.value)


def test_an_error_of_mlflow_in_a_job_is_one_line_without_a_password_and_others_are_left():
    error = MlflowException("http://me:secret@host/api: connection refused\nTraceback ...")
    assert str(explain(error)) == "MLflow failed: http://host/api: connection refused."
    assert explain(ValueError("a bug of ours")) is None
