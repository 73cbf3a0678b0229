"""`medembed erase` leaves no erased document or query in any place, and names the models."""

import json
import os
from pathlib import Path

import pytest

from medembed import storage
from medembed.artifact import to_entries
from medembed.custody import backup_erasure
from medembed.data.dataset import leftovers, open_dataset
from medembed.encoding.table import find_table
from medembed.errors import ConfigError, StorageError
from medembed.registry.catalog import all_versions
from medembed.registry.runs import read_artifact
from tests.custody.backups import backup, dying, restore
from tests.custody.conftest import NewRegistry
from tests.custody.erasing import ASKED, GONE, erase, naming, state
from tests.custody.world import QUERY_TEXTS, World


def test_a_dry_run_counts_and_changes_nothing(erasable: World):
    before = state(erasable.root)
    done = erase(erasable, *ASKED, dry_run=True)
    assert state(erasable.root) == before
    assert done["nowhere"] == 1
    assert done["models"] == ["models:/medembed/2", "models:/medembed/1"]
    assert done["lines"][-1] == "nothing has changed; dry_run=false erases for good"
    counted = dict(line.split(": ", 1) for line in done["lines"] if line.startswith(erasable.root))
    assert (
        counted[erasable.place("data/1")] == "3 corpus, 3 queries, 1 group names, 4 qrels to erase"
    )
    assert counted[erasable.place("tables/1.lance")] == "3 rows to erase"
    assert any(line.startswith("runs:/") and "1 reports" in line for line in done["lines"])


def test_nothing_holds_an_erased_document_or_query_afterwards_and_models_are_named(erasable: World):
    assert naming(erasable.root, *GONE), "else this test could not fail"
    fingerprints = [
        open_dataset(version.tags["dataset_uri"]).fingerprint for version in erasable.versions
    ]
    done = erase(erasable, *ASKED)
    assert naming(erasable.root, *GONE) == []
    assert (
        "trained on erased rows, now or before: models:/medembed/2, models:/medembed/1: "
        "retrain or delete them" in (done["lines"])
    )
    assert done["lines"][-1].startswith(
        "of 2 tables only a new version is left: servers of them must then be deployed anew"
    )
    data = open_dataset(erasable.place("data/1"))
    assert data.fingerprint == fingerprints[0]
    assert data.manifest.counts == {"documents": 6, "queries": 5, "judgments": 5, "chunks": 6}
    assert data.corpus().num_rows == sum(rows for _, rows in data.corpus_files()) == 6
    assert data.qrels()["q0"] == {"d0": 1.0, "d6": 1.0}
    assert set(data.queries()["query_id"].to_pylist()) == {"q0", "q3", "q4", "q6", "q7"}, (
        "q7's positive is held out"
    )
    assert data.manifest.erased is not None
    assert not {"d1", "d2", "q5"} & set(
        json.dumps(to_entries(data.manifest)).replace('"', " ").split()
    )
    derived = [
        erasable.place(kind, number) for number in "12" for kind in ("evaluations", "examples")
    ]
    assert sorted(done["deleted"]) == sorted(derived)
    assert not [uri for uri in derived if storage.exists(uri)], "what jobs make again goes whole"
    assert (
        f"deleted whole, as their jobs make them again: {', '.join(done['deleted'])}"
        in done["lines"]
    )
    for version in all_versions(erasable.registry, "medembed"):
        table = find_table(version.tags["table_uri"], int(version.tags["table_version"]))
        assert table, "a version names the table's version that is left"
        assert table.rows == 6
        report = read_artifact(erasable.registry, version.run_id, "report.html").decode()
        assert "rows that were erased" in report
        assert QUERY_TEXTS["q2"] not in report
    again = erase(erasable, *ASKED)
    assert (again["rows"], again["nowhere"]) == (0, 4)
    assert again["models"] == ["models:/medembed/2", "models:/medembed/1"], "still trained on them"


@pytest.mark.parametrize(
    ("call", "step"),
    [("write_bytes", 2), ("write_bytes", 5), ("delete_file", 1), ("delete_file", 12)],
)
def test_after_a_death_at_any_step_the_same_command_finishes(
    call: str, step: int, world: World, monkeypatch: pytest.MonkeyPatch
):
    world.add(1)
    with dying(monkeypatch, storage, call, step):
        erase(world, *ASKED)
    done = erase(world, *ASKED)
    assert naming(world.root, *GONE) == []
    assert done["models"] == ["models:/medembed/1"]
    assert not leftovers(open_dataset(world.place("data/1")))


@pytest.mark.parametrize("option", ["backups=[{}/backup]", "places=[{}/]"])
def test_a_backup_that_is_named_or_lies_in_a_place_is_cleaned_and_can_be_restored(
    option: str, erasable: World, new_registry: NewRegistry, tmp_path: Path
):
    place = str(tmp_path / "place")
    to = f"{place}/backup"
    backup(erasable, to)
    assert naming(to, *GONE)
    erase(erasable, *ASKED, option.format(place))
    assert naming(to, *GONE) == []
    assert not [
        name
        for name in storage.list_files(to)
        if name.endswith(".html") and b"q2" in storage.read_bytes(storage.join(to, name))
    ]
    registry = new_registry("other")
    restore(to, str(tmp_path / "out"), registry)
    for version in all_versions(registry, "medembed"):
        table = find_table(version.tags["table_uri"], int(version.tags["table_version"]))
        assert table
        assert table.rows == 6


def test_a_backup_in_which_an_erasure_broke_off_is_not_restored_until_it_is_finished(
    erasable: World, new_registry: NewRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    to = str(tmp_path / "backup")
    backup(erasable, to)
    with dying(monkeypatch, backup_erasure, "finish"):
        erase(erasable, *ASKED, f"backups=[{to}]")
    registry = new_registry("other")
    with pytest.raises(StorageError, match="an erasure in this backup was interrupted"):
        restore(to, str(tmp_path / "out"), registry)
    erase(erasable, *ASKED, f"backups=[{to}]")
    restore(to, str(tmp_path / "out"), registry)
    assert naming(str(tmp_path / "out"), *GONE) == []


def test_places_beside_the_registry_are_searched_and_a_report_that_shows_an_id_goes(
    erasable: World, tmp_path: Path
):
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("<td>d2</td>")
    (other / "foreign.html").write_text("<td>d2</td>")
    os.rename(erasable.place("evaluations/1"), other / "moved")
    erase(erasable, *ASKED, f"places=[{other}]")
    assert naming(str(other), *GONE) == []
    assert "d2" not in (other / "report.html").read_text()
    assert (other / "foreign.html").read_text() == "<td>d2</td>", "only what is ours is touched"


def test_what_cannot_be_searched_is_said(world: World):
    gone = world.add(1).tags["examples_uri"]
    storage.delete_folder(gone)
    world.registry.client.create_model_version("medembed", source=str(world.base), run_id=None)
    lines = erase(world, "document_ids=[d2]", dry_run=True)["lines"]
    assert f"not searched: {gone}: is not there any more" in lines
    assert (
        "not searched: models:/medembed/2: where its data lies is not recorded; give it in places"
        in lines
    )


def test_ids_come_from_a_file_one_a_line_and_none_is_an_error(erasable: World, tmp_path: Path):
    (tmp_path / "ids.txt").write_text("007\n\nd2\n")
    done = erase(erasable, f"document_ids_file={tmp_path / 'ids.txt'}", dry_run=True)
    assert done["nowhere"] == 1
    with pytest.raises(ConfigError, match="document_ids: missing"):
        erase(erasable)
    # 007 is no 7, and a text
    assert erase(erasable, "document_ids=[007,d2]", dry_run=True)["nowhere"] == 1


def test_all_rows_of_a_file_can_be_erased(world: World):
    world.add(1)
    assert naming(world.root, "q7", "d7"), "else this test could not fail"
    erase(world, "document_ids=[d7]", "query_ids=[q7]")
    assert naming(world.root, "q7", "d7") == []
