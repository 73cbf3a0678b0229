"""A restoration goes on after an interruption, writes over nothing, and finds damage."""

import json
from pathlib import Path

import pytest

import jobs.restore
import medembed.custody.restore
from jobs.restore import RestoreJob
from medembed.config import load_config
from medembed.errors import ServiceError, StorageError
from medembed.registry.catalog import all_versions
from medembed.schema import content_hash
from tests.custody.backups import backup, check_equal, content, dying, restore
from tests.custody.conftest import NewRegistry
from tests.custody.world import World


@pytest.mark.parametrize("step", ["versions", "aliases"])
def test_an_interrupted_restoration_goes_on(
    step: str,
    two: World,
    new_registry: NewRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    backup(two, str(tmp_path / "backup"))
    registry = new_registry("other")
    broken = {"versions": "create_model_version", "aliases": "set_registered_model_alias"}[step]
    with dying(monkeypatch, type(registry.client), broken, step=2):
        restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    check_equal(two.registry, registry, ["2", "1"])
    runs = registry.client.search_runs([registry.experiment_id()])
    assert len(runs) == 2, "none is written twice"


def test_what_somebody_registers_after_an_interruption_stays(
    two: World, new_registry: NewRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backup(two, str(tmp_path / "backup"))
    registry = new_registry("other")
    with dying(monkeypatch, type(registry.client), "set_registered_model_alias", step=2):
        restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    registry.client.create_model_version("medembed", source="s3://elsewhere/model")
    restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    numbers = [version.version for version in all_versions(registry, "medembed")]
    assert numbers == ["3", "2", "1"]


@pytest.mark.parametrize("change", ["erased", "of the same size", "more"])
def test_nothing_is_restored_over_what_was_changed_since_a_restoration(
    change: str, world: World, new_registry: NewRegistry, tmp_path: Path
):
    version, to, out = world.add(1), str(tmp_path / "backup"), str(tmp_path / "out")
    backup(world, to)
    restore(to, out, new_registry("first"))
    restore(to, out, new_registry("equal"))
    path = next((tmp_path / "out/data").glob("*/manifest.json"))
    old = path.read_bytes()
    if change == "more":
        (path.parent / "more").touch()
    else:
        path.write_bytes(old + b" " if change == "erased" else old.replace(b"8", b"7"))
    before = content(out)
    registry = new_registry("other")
    with pytest.raises(
        StorageError, match=r"found data/.*give a new output, or remove that folder"
    ):
        restore(to, out, registry)
    assert content(out) == before
    assert all_versions(registry, version.name) == []


def test_a_restoration_that_was_interrupted_before_the_backup_changed_says_what_to_do(
    world: World, new_registry: NewRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    to, out, registry = str(tmp_path / "backup"), str(tmp_path / "out"), new_registry("other")
    world.add(1)
    backup(world, to)
    with dying(monkeypatch, medembed.custody.restore, "write_run"):
        restore(to, out, registry)
    world.add(2)
    backup(world, to)
    with pytest.raises(
        ServiceError,
        match="was interrupted, and the backup has changed since; restore into another",
    ):
        restore(to, out, registry)
    assert restore(to, out, new_registry("third"))["restored"]["versions"] == 2, (
        "what is there is right"
    )


def test_a_backup_of_another_model_than_the_named_one_is_refused(
    world: World, new_registry: NewRegistry, tmp_path: Path
):
    world.add(1)
    backup(world, str(tmp_path / "backup"))
    registry = new_registry("other")
    job = load_config(
        RestoreJob,
        [
            f"backup={tmp_path}/backup",
            f"output={tmp_path}/out",
            f"registry.workspace={registry.config.workspace}",
            "registry.model_name=another",
        ],
    )
    with pytest.raises(ServiceError, match="found 'another', but the backup holds 'medembed'"):
        jobs.restore.run(job)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evilrc", "models/../../evilrc", "evilrc", "/evilrc"])
def test_a_backup_writes_nothing_outside_its_own_folders_and_over_no_file(
    name: str, world: World, new_registry: NewRegistry, tmp_path: Path
):
    world.add(1)
    backup(world, str(tmp_path / "backup"))
    path = tmp_path / "backup/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["copies"] |= {name: {"hash": content_hash("evil"), "bytes": 4}}
    path.write_text(json.dumps(manifest))
    mine = [tmp_path / "evilrc", tmp_path / "out/evilrc"]
    for place in mine:
        place.parent.mkdir(exist_ok=True)
        place.write_text("mine")
    (tmp_path / "backup/evilrc").write_text("evil")
    registry = new_registry("other")
    with pytest.raises(StorageError, match=r"damaged or forged"):
        restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    assert content(str(tmp_path / "out")) == {"evilrc": b"mine"}
    assert mine[0].read_text() == "mine"
    assert not registry.client.search_registered_models()


def test_damage_is_found_before_anything_is_registered(
    two: World, new_registry: NewRegistry, tmp_path: Path
):
    backup(two, str(tmp_path / "backup"))
    weights = next((tmp_path / "backup").glob("models/*/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    registry = new_registry("other")
    with pytest.raises(StorageError, match=r"model.safetensors: damaged"):
        restore(str(tmp_path / "backup"), str(tmp_path / "out"), registry)
    assert all_versions(registry, "medembed") == []
