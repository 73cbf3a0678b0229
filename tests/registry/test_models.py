import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from medembed.errors import ServiceError
from medembed.lineage import Source
from medembed.registry.catalog import find_version
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, explain, open_registry, resolve_model
from medembed.tags import Lineage

ABC = Lineage(dataset=Source("abc"))


@pytest.fixture
def config(empty_registry: Path, tmp_path: Path) -> RegistryConfig:
    return RegistryConfig(workspace=str(shutil.copytree(empty_registry, tmp_path / "ws")))


def register(registry: Registry, source: str = "/models/one") -> object:
    return registry.register(
        source,
        params={"lr": 1e-4},
        metrics={"ndcg": 0.5},
        lineage=ABC,
        artifacts={"report.html": "<p>"},
    )


def test_a_registered_model_is_found_by_version_and_by_alias(config: RegistryConfig):
    registry = open_registry(config, on_cluster=False)
    version = register(registry)
    registry.set_alias(version)
    assert (
        registry.resolve("models:/medembed/1")
        == version
        == registry.resolve("models:/medembed@champion")
    )
    assert resolve_model("models:/medembed@champion", config, on_cluster=False) == "/models/one"


def test_the_run_keeps_parameters_metrics_lineage_and_artifacts_inside_the_workspace(
    config: RegistryConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    registry = open_registry(config, on_cluster=False)
    run = registry.client.get_run(register(registry).run_id)
    assert (run.data.params, run.data.metrics, run.data.tags["dataset"]) == (
        {"lr": "0.0001"},
        {"ndcg": 0.5},
        "abc",
    )
    assert (run.info.status, len(list((tmp_path / "ws").rglob("report.html")))) == ("FINISHED", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


def test_a_registered_checkpoint_is_found_by_its_place_and_lineage(config: RegistryConfig):
    registry = open_registry(config, on_cluster=False)
    version = register(registry)
    assert find_version(registry, "/models/one", ABC) == version
    assert find_version(registry, "/models/two", Lineage()) is None
    assert find_version(registry, "/models/one", Lineage(dataset=Source("other"))) is None


def test_an_alias_is_there_once_it_is_set(config: RegistryConfig):
    registry = open_registry(config, on_cluster=False)
    version = register(registry)
    assert not registry.has_alias()
    registry.set_alias(version)
    assert registry.has_alias()


def test_a_local_checkpoint_and_an_mlflow_server_do_not_go_together(config: RegistryConfig):
    registry = open_registry(config, on_cluster=False)
    registry.check_output("/models")
    registry.tracking_uri = "http://user:secret@mlflow:5000"
    with pytest.raises(ServiceError, match="found local '/models'"):
        registry.check_output("/models")
    registry.check_output("s3://bucket/models")


@pytest.mark.parametrize(
    "reference", ["models:/medembed@champion", "models:/medembed/7", "models:/other/1"]
)
def test_a_reference_to_nothing_is_a_one_line_error(config: RegistryConfig, reference: str):
    with pytest.raises(ServiceError, match="not in the registry") as caught:
        resolve_model(reference, config, on_cluster=False)
    assert "\n" not in str(caught.value)


def test_a_sqlite_file_is_refused_on_a_cluster_and_for_a_remote_workspace(config: RegistryConfig):
    for wrong, on_cluster in ((config, True), (RegistryConfig(workspace="s3://bucket/ws"), False)):
        with pytest.raises(ServiceError, match="MLFLOW_TRACKING_URI"):
            open_registry(wrong, on_cluster=on_cluster)


def test_a_server_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError, match="127.0.0.1:9") as caught:
        open_registry(
            RegistryConfig(tracking_uri="http://user:secret@127.0.0.1:9"), on_cluster=True
        )
    assert "secret" not in str(caught.value)


def test_two_processes_can_open_an_empty_registry_together(tmp_path: Path):
    code = (
        "from medembed.registry.config import RegistryConfig; from medembed.registry.models "
        f"import open_registry; open_registry(RegistryConfig(workspace={str(tmp_path)!r}), "
        "on_cluster=False)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]


@pytest.fixture(scope="module")
def tracking_uri(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for tests of runs, each in an experiment of its own."""
    workspace = shutil.copytree(empty_registry, tmp_path_factory.mktemp("runs") / "ws")
    return f"sqlite:///{workspace}/mlflow/mlflow.db"


@pytest.fixture
def runs(tracking_uri: str, request: pytest.FixtureRequest) -> Registry:
    return Registry(tracking_uri, RegistryConfig(experiment=request.node.name))


def log(registry: Registry, **tags: str) -> str:
    return registry.log_run(params={}, metrics={}, tags=tags, artifacts={})


def test_a_run_holds_any_number_of_metrics_and_parameters_and_its_files_as_they_are(
    runs: Registry, tmp_path: Path
):
    params, metrics = {f"p{n}": n for n in range(130)}, {f"m{n}": n / 7 for n in range(1050)}
    files = {"plot.png": b"\x89PNG\r\n\x00\xff", "report.html": "<p>é</p>\r\n"}
    run_id = runs.log_run(
        params=params, metrics=metrics, tags={"kind": "evaluation"}, artifacts=files
    )
    run = runs.client.get_run(run_id)
    assert run.data.metrics == metrics
    assert run.data.params == {name: str(value) for name, value in params.items()}
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "evaluation")
    for name, content in files.items():
        path = runs.client.download_artifacts(run_id, name, str(tmp_path))
        assert Path(path).read_bytes() == (
            content.encode() if isinstance(content, str) else content
        )


def test_the_newest_finished_run_with_all_the_tags_is_found(runs: Registry):
    wanted = {"kind": "evaluation", "dataset": "abc"}
    assert runs.find_run(wanted) is None
    log(runs, kind="evaluation", dataset="other")
    log(runs, kind="evaluation")
    log(runs, kind="training", dataset="abc")
    assert runs.find_run(wanted) is None
    old, new = log(runs, **wanted), log(runs, **wanted, encoder="f00d")
    assert old != new
    assert runs.find_run(wanted) == new
    for status in ("RUNNING", "FAILED", "KILLED"):
        unfinished = runs.client.create_run(runs.experiment_id(), tags=wanted).info.run_id
        if status != "RUNNING":
            runs.client.set_terminated(unfinished, status)
    assert runs.find_run(wanted) == new
    assert runs.find_run(wanted | {"encoder": "beef"}) is None


QUOTED = ["it's", 'a "b"', "'", '"', "\\", "`a`", "a' or tags.kind = 'x", "100%_", "a\nb", "%", ""]


def test_tags_are_compared_as_they_are_whatever_quotes_they_hold(
    runs: Registry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.registry.models._RUNS_PER_PAGE", 3)
    made = {value: log(runs, kind="evaluation", model=value) for value in QUOTED}
    assert {
        value: runs.find_run({"kind": "evaluation", "model": value}) for value in QUOTED
    } == made
    assert runs.find_run({"kind": "evaluation", "model": "it''s"}) is None


def test_a_server_that_is_not_there_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    before = dict(os.environ)
    started = time.monotonic()
    refused = r"MLflow at http://127.0.0.1:1: cannot be used: Failed to establish .*: \[Errno 111\] Connection refused\. Give"
    with pytest.raises(ServiceError, match=refused):
        open_registry(RegistryConfig(tracking_uri="http://127.0.0.1:1"), on_cluster=False)
    assert time.monotonic() - started < 20
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
def test_a_damaged_file_is_one_line_in_seconds(
    kind: str, says: str, empty_registry: Path, tmp_path: Path
):
    damage(kind, (empty_registry / "mlflow/mlflow.db").read_bytes(), tmp_path / "mlflow.db")
    started = time.monotonic()
    with pytest.raises(ServiceError, match=says) as caught:
        open_registry(
            RegistryConfig(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"), on_cluster=False
        )
    assert "\n" not in str(caught.value)
    assert "mlflow.db: cannot be used" in str(caught.value)
    assert time.monotonic() - started < 20


def test_what_mlflow_raises_in_the_middle_of_a_job_is_one_line_without_a_password_and_other_errors_are_left():
    from mlflow.exceptions import MlflowException

    told = explain(MlflowException("http://me:secret@host/api: connection refused\nTraceback ..."))
    assert str(told) == "MLflow failed: http://host/api: connection refused."
    assert explain(ValueError("a bug of ours")) is None
