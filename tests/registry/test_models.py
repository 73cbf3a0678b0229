"""What is registered or logged is found again, whole, and inside the workspace."""

import shutil
from pathlib import Path

import pytest

from medembed.errors import ServiceError
from medembed.lineage import Source
from medembed.registry.catalog import find_version
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, Version, open_registry, resolve_model
from medembed.registry.runs import read_artifact
from medembed.tags import Lineage

ABC = Lineage(dataset=Source("abc"))


@pytest.fixture
def config(empty_registry: Path, tmp_path: Path) -> RegistryConfig:
    return RegistryConfig(workspace=str(shutil.copytree(empty_registry, tmp_path / "ws")))


@pytest.fixture
def registry(config: RegistryConfig) -> Registry:
    return open_registry(config, on_cluster=False)


def register(registry: Registry) -> Version:
    return registry.register(
        "/models/one",
        params={"lr": 1e-4},
        metrics={"ndcg": 0.5},
        lineage=ABC,
        artifacts={"report.html": "<p>"},
    )


def test_a_registered_model_is_found_by_version_alias_and_lineage(
    registry: Registry, config: RegistryConfig
):
    version = register(registry)
    assert registry.aliases("medembed") == registry.aliases("other") == {}
    registry.set_alias(version)
    assert registry.aliases("medembed") == {"champion": "1"}
    for reference in ("models:/medembed/1", "models:/medembed@champion"):
        assert registry.resolve(reference) == version
        assert resolve_model(reference, config, on_cluster=False) == "/models/one"
    assert find_version(registry, "/models/one", ABC) == version
    assert find_version(registry, "/models/two", Lineage()) is None
    assert find_version(registry, "/models/one", Lineage(dataset=Source("other"))) is None


def test_the_run_keeps_parameters_metrics_lineage_and_artifacts_inside_the_workspace(
    config: RegistryConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    registry = open_registry(config, on_cluster=False)
    run = registry.client.get_run(register(registry).run_id)
    assert run.data.params == {"lr": "0.0001"}
    assert run.data.metrics == {"ndcg": 0.5}
    assert run.data.tags["dataset"] == "abc"
    assert run.info.status == "FINISHED"
    assert len(list((tmp_path / "ws").rglob("report.html"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


def test_a_local_checkpoint_and_an_mlflow_server_do_not_go_together(registry: Registry):
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


def log(registry: Registry, **tags: str) -> str:
    return registry.log_run(params={}, metrics={}, tags=tags, artifacts={})


def test_a_run_holds_any_number_of_metrics_and_parameters_and_its_files_as_they_are(
    registry: Registry,
):
    params = {f"p{n}": str(n) for n in range(130)}
    metrics = {f"m{n}": n / 7 for n in range(1050)}
    files = {"plot.png": b"\x89PNG\r\n\x00\xff", "report.html": "<p>é</p>\r\n".encode()}
    run_id = registry.log_run(
        params=params, metrics=metrics, tags={"kind": "evaluation"}, artifacts=files
    )
    run = registry.client.get_run(run_id)
    assert (run.data.metrics, run.data.params) == (metrics, params)
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "evaluation")
    assert {name: read_artifact(registry, run_id, name) for name in files} == files


def test_the_newest_finished_run_with_all_the_tags_is_found(registry: Registry):
    wanted = {"kind": "evaluation", "dataset": "abc"}
    log(registry, kind="evaluation", dataset="other")
    log(registry, kind="evaluation")
    assert registry.find_run(wanted) is None
    old = log(registry, **wanted)
    new = log(registry, **wanted, encoder="f00d")
    assert list(registry.find_runs(wanted)) == [new, old]
    for status in ("RUNNING", "FAILED", "KILLED"):
        unfinished = registry.client.create_run(registry.experiment_id(), tags=wanted).info.run_id
        if status != "RUNNING":
            registry.client.set_terminated(unfinished, status)
    assert registry.find_run(wanted) == new
    assert registry.find_run(wanted | {"encoder": "beef"}) is None


QUOTED = ["it's", 'a "b"', "'", '"', "\\", "`a`", "a' or tags.kind = 'x", "100%_", "a\nb", "%", ""]


def test_tags_are_compared_as_they_are_whatever_quotes_they_hold(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.registry.connect._PER_PAGE", 3)
    for value in QUOTED:
        run_id = log(registry, kind="evaluation", model=value)
        assert registry.find_run({"kind": "evaluation", "model": value}) == run_id
    assert registry.find_run({"kind": "evaluation", "model": "it''s"}) is None
