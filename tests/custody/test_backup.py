"""`medembed backup` and `restore` bring back elsewhere what was there, and find damage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import jobs.backup
import jobs.erase
import jobs.restore
import medembed.custody.backup
from medembed import storage
from medembed.artifact import write_manifest
from medembed.config import load_config
from medembed.custody.backup import back_up
from medembed.custody.kinds import LeavingManifest
from medembed.errors import ServiceError, StorageError
from medembed.finetuning.attempts import set_aside
from medembed.lineage import Source
from medembed.registry.catalog import all_versions, set_tags
from medembed.registry.runs import list_artifacts, read_artifact
from medembed.tags import Lineage
from tests.custody.backups import (
    backup,
    check_equal,
    content,
    dying,
    encoded,
    restore,
    vectors,
)
from tests.custody.conftest import NewRegistry
from tests.custody.world import TEXTS, World, write_dataset


def test_what_is_restored_elsewhere_has_the_same_bytes_vectors_runs_numbers_and_aliases(
    two: World, new_registry: NewRegistry, tmp_path: Path
):
    done = backup(two, str(tmp_path / "backup"))
    assert done["versions"] == ["1", "2"]
    registry = new_registry("other")
    restored = restore(str(tmp_path / "backup"), str(tmp_path / "elsewhere"), registry)
    assert restored["lines"][0].startswith(
        "models:/medembed: 2 versions registered (@champion is 2, @previous is 1)"
    )
    check_equal(two.registry, registry, ["2", "1"])
    champions = [each.resolve("models:/medembed@champion") for each in (two.registry, registry)]
    np.testing.assert_array_equal(*map(encoded, champions))
    assert two.root not in json.dumps(
        [dict(version.tags) for version in all_versions(registry, "medembed")]
    )
    with pytest.raises(ServiceError, match="is registered already, with 2 versions"):
        restore(str(tmp_path / "backup"), str(tmp_path / "third"), registry)


def test_a_backup_goes_to_s3_and_comes_back_from_there(
    two: World, new_registry: NewRegistry, bucket: str, tmp_path: Path
):
    back_up(two.registry, f"{bucket}/backup", keep=1)
    registry = new_registry("other")
    restore(f"{bucket}/backup", str(tmp_path / "restored"), registry)
    old, new = (each.resolve("models:/medembed@champion") for each in (two.registry, registry))
    assert content(old.source) == content(new.source)
    assert vectors(old) == vectors(new)
    again = back_up(two.registry, f"{bucket}/backup", keep=1)
    assert again.new == []


def test_a_second_backup_copies_only_what_is_new_and_keeps_what_it_has(
    world: World, tmp_path: Path
):
    to = str(tmp_path / "backup")
    world.add(1)
    assert backup(world, to)["counts"]["new_files"] > 10
    assert backup(world, to)["counts"]["new_files"] == 0
    set_tags(world.registry, world.versions[0], Lineage(reason="changed"))
    assert backup(world, to)["counts"]["new_files"] == 3, "the run: facts and two artifacts"
    world.add(2)
    done = backup(world, to, "keep=1", f"tables=[{world.place('tables', '1.lance')}]")
    assert done["versions"] == ["1", "2"]
    manifest = json.loads(storage.read_bytes(storage.join(to, "manifest.json")))
    there = set(storage.list_files(to)) - {"manifest.json"}
    assert there == set(manifest["copies"]), "nothing is left that the manifest does not name"


def test_gaps_in_the_numbers_stay_and_versions_out_of_retention_are_left_out(
    world: World, new_registry: NewRegistry, tmp_path: Path
):
    for number in (1, 2, 3, 4):
        world.add(number)
    world.registry.set_alias(world.versions[1])
    assert backup(world, str(tmp_path / "b"), "keep=1")["versions"] == ["2", "4"]
    registry = new_registry("other")
    restore(str(tmp_path / "b"), str(tmp_path / "out"), registry)
    assert {
        version.version: version.tags["encoder"] for version in all_versions(registry, "medembed")
    } == {
        version.version: version.tags["encoder"]
        for version in (world.versions[1], world.versions[3])
    }
    assert (
        registry.register("/m", params={}, metrics={}, lineage=Lineage(), artifacts={}).version
        == "5"
    ), "numbers go on"


def test_what_was_set_aside_stays_so_after_a_restoration_whether_its_version_is_kept_or_not(
    world: World, new_registry: NewRegistry, tmp_path: Path
):
    worse = Lineage(job="retrain", decision="worse")
    tags = worse.to_tags()
    files = {"files.json": '{"hash": "s3://landing/poisoned.jsonl"}', "report.html": "not needed"}
    world.registry.log_run(params={}, metrics={}, tags=tags, artifacts=files)
    version, to = world.add(1), str(tmp_path / "backup")
    set_tags(world.registry, version, worse)
    world.registry.write_artifact(
        version.run_id, "files.json", b'{"another": "s3://landing/other.jsonl"}'
    )
    backup(world, to)
    assert backup(world, to)["counts"]["new_files"] == 0
    restore(to, str(tmp_path / "out"), registry := new_registry("other"))
    assert set_aside(registry) == set_aside(world.registry) == {"hash", "another"}
    artifacts = [sorted(list_artifacts(registry, run_id)) for run_id in registry.find_runs(tags)]
    assert sorted(artifacts) == [["config.yaml", "files.json", "report.html"], ["files.json"]]


def test_an_interrupted_backup_is_none_and_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    world.add(1)
    to = str(tmp_path / "backup")
    with dying(monkeypatch, medembed.custody.backup, "write_manifest"):
        backup(world, to)
    with pytest.raises(StorageError, match="expected a finished backup"):
        restore(to, str(tmp_path / "out"), world.registry)
    done = backup(world, to)["counts"]
    assert (done["new_files"], done["files"] > 10) == (0, True), "all is there"


def test_until_a_second_backup_is_finished_the_first_is_restored_byte_for_byte(
    world: World, new_registry: NewRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    version, to = world.add(1), str(tmp_path / "backup")
    backup(world, to)
    before = content(to)
    data, artifact = version.tags["dataset_uri"], "report.html"
    changed = json.loads(storage.read_bytes(storage.join(data, "manifest.json"))) | {"held_out": 2}
    storage.write_bytes(storage.join(data, "manifest.json"), json.dumps(changed).encode())
    world.registry.write_artifact(version.run_id, artifact, b"another")
    (Path(version.source) / "model.safetensors").touch()
    with dying(monkeypatch, medembed.custody.backup, "write_manifest"):
        backup(world, to)
    after = content(to)
    assert {name: after[name] for name in before} == before
    restore(to, str(tmp_path / "out"), new_registry("other"))
    assert backup(world, to)["counts"]["new_files"] == 0, "all is there"
    restore(to, str(tmp_path / "new"), registry := new_registry("third"))
    restored = all_versions(registry, "medembed")[0]
    assert content(restored.tags["dataset_uri"]) == content(data)
    assert read_artifact(registry, restored.run_id, artifact) == b"another"


def test_a_text_that_was_erased_where_it_lies_goes_from_the_next_backup(
    world: World, tmp_path: Path
):
    to, (first, second) = str(tmp_path / "backup"), (world.add(1), world.add(2))
    set_tags(world.registry, second, Lineage(dataset=first.lineage.dataset))
    world.registry.set_alias(first)
    backup(world, to, "keep=1")
    world.registry.set_alias(second)
    workspace = f"registry.workspace={world.registry.config.workspace}"
    jobs.erase.run(
        load_config(jobs.erase.EraseJob, [workspace, "dry_run=false", "document_ids=[d2]"])
    )
    backup(world, to, "keep=1")
    texts = [
        text
        for uri, _, _ in storage.find_files(storage.join(to, "data", "**", "corpus", "*.parquet"))
        for text in storage.read_parquet(uri)["text"].to_pylist()
    ]
    assert sorted(texts) == sorted(set(TEXTS.values()) - {TEXTS["d2"]}), (
        "one copy, also for the first version"
    )


def test_what_a_backup_has_of_a_data_set_stays_where_another_came_in_its_place(
    world: World, new_registry: NewRegistry, tmp_path: Path
):
    to, (first, second) = str(tmp_path / "backup"), (world.add(1), world.add(2))
    backup(world, to)
    data = first.tags["dataset_uri"]
    before = content(data)
    storage.delete_folder(data)
    shutil.move(write_dataset(f"{data}-new").uri, data)
    set_tags(world.registry, second, Lineage(dataset=first.lineage.dataset))
    backup(world, to, "keep=1")
    restore(to, str(tmp_path / "out"), registry := new_registry("other"))
    restored = {
        version.version: content(version.tags["dataset_uri"])
        for version in all_versions(registry, "medembed")
    }
    assert restored == {"1": before, "2": content(data)}


def test_what_is_gone_is_named_but_a_checkpoint_must_be_there(world: World, tmp_path: Path):
    version = world.add(1)
    storage.delete_folder(version.tags["examples_uri"])
    done = backup(world, str(tmp_path / "a"))
    assert done["gone"] == [f"models:/medembed/1: examples {version.tags['examples_uri']}"]
    storage.delete_folder(version.source)
    with pytest.raises(StorageError, match=r"models:/medembed/1: its checkpoint .* is not there"):
        backup(world, str(tmp_path / "b"))


def test_what_people_read_has_no_passwords(world: World, tmp_path: Path):
    version, to = world.add(1), str(tmp_path / "backup")
    set_tags(world.registry, version, Lineage(examples=Source("e", "hf://me:secret@host/examples")))
    done = backup(world, to)
    assert done["gone"] == ["models:/medembed/1: examples hf://host/examples"]
    assert "secret" not in "".join(done["lines"])


@pytest.mark.parametrize("part", ["checkpoint", "dataset_uri", "examples_uri", "table_uri", "rows"])
def test_what_an_earlier_backup_has_of_a_part_that_cannot_be_read_now_stays_and_is_said(
    part: str, world: World, new_registry: NewRegistry, tmp_path: Path
):
    version, to = world.add(1), str(tmp_path / "backup")
    backup(world, to)
    before, versions = content(to), all_versions(world.registry, "medembed")
    uri = {"checkpoint": version.source, "rows": version.tags["table_uri"]}.get(
        part
    ) or version.tags[part]
    lost = Path(uri) if part != "rows" else next(Path(uri).glob("data/*"))
    lost.rename(tmp_path / "lost")
    if part == "table_uri":
        set_tags(world.registry, version, Lineage(table=Source("e", uri, 9)))
    done = backup(world, to)
    assert (done["counts"]["held"], done["counts"]["gone"], len(done["held"])) == (1, 0, 1)
    assert done["lines"][0].startswith(
        "cannot be read now; what an earlier backup has of it stays: models:/medembed/1"
    )
    assert uri in done["lines"][0]
    backup(world, to)
    assert {name for name in before if not name.startswith(("runs", "manifest"))} <= set(
        storage.list_files(to)
    )
    restore(to, str(tmp_path / "out"), registry := new_registry("other"))
    (tmp_path / "lost").rename(lost)
    set_tags(world.registry, version, Lineage(table=versions[0].lineage.table))
    check_equal(world.registry, registry, ["1"])


def test_a_folder_that_is_being_removed_is_not_backed_up(world: World, tmp_path: Path):
    version, to = world.add(1), str(tmp_path / "backup")
    backup(world, to)
    write_manifest(version.source, LeavingManifest(files=("model.safetensors",)))
    assert backup(world, to)["held"] == [f"models:/medembed/1: checkpoint {version.source}"]


def test_a_backup_goes_neither_over_other_files_nor_over_another_registry(
    two: World, world: World, tmp_path: Path
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"expected nothing or a backup, found 'notes.txt'"):
        backup(two, str(tmp_path / "mine"))
    backup(two, str(tmp_path / "backup"))
    world.add(1)
    with pytest.raises(StorageError, match="holds a backup of another registry"):
        backup(world, str(tmp_path / "backup"))


def test_a_run_that_set_files_aside_leaves_the_backup_once_it_does_no_more(
    world: World, tmp_path: Path
):
    world.add(1)
    registry = world.registry
    to = str(tmp_path / "backup")
    run_id = registry.client.create_run(registry.experiment_id()).info.run_id
    back_up(registry, to, runs={run_id: ()})
    assert any(run_id in name for name in content(to))
    back_up(registry, to)
    assert not any(run_id in name for name in content(to))
