"""`medembed erase`: no place holds an erased document or query afterwards, and the models are named."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import jobs.erase
from medembed import storage
from medembed.artifact import MANIFEST
from medembed.config import load_config
from medembed.custody.pages import clean_page
from medembed.custody.spots import search
from medembed.custody.wanted import Wanted
from medembed.data.dataset import open_dataset
from medembed.encoding.codec import Codec
from medembed.encoding.commit import write_fragment
from medembed.encoding.table import find_table
from medembed.errors import ConfigError, StorageError
from medembed.evaluation.files import read_evaluation
from medembed.mining.examples import open_examples
from medembed.registry.catalog import all_versions, delete_version
from medembed.registry.models import Registry
from medembed.registry.runs import read_artifact, write_artifact
from tests.custody.conftest import NewRegistry
from tests.custody.test_backup import backup, restore
from tests.custody.world import QUERIES_TOLD, TEXTS, WIDTH, World, write_dataset, write_examples, write_table


def erase(world: World, *more: str, dry_run: bool = False) -> dict[str, Any]:
    arguments = [f"registry.workspace={world.registry.config.workspace}", f"dry_run={dry_run}", *more]
    return jobs.erase.run(load_config(jobs.erase.EraseJob, arguments))


def tables_below(folder: str) -> Iterator[tuple[str, pa.Table]]:
    """Every Parquet and Arrow file, and every version of every embedding table, as rows."""
    for uri, _, _ in storage.find_files(folder):
        if uri.endswith(".parquet"):
            yield uri, storage.read_parquet(uri)
        elif uri.endswith(".arrow") and "/_deletions/" not in uri:
            yield uri, pa.ipc.open_file(pa.BufferReader(storage.read_bytes(uri))).read_all()
    for uri in {uri.partition("/_versions/")[0] for uri, _, _ in storage.find_files(folder) if "/_versions/" in uri}:
        from medembed.encoding.table import open_lance

        for entry in open_lance(uri).versions():
            yield uri, open_lance(uri, entry["version"]).to_table(columns=["document_id", "content_hash"])


def naming(folder: str, *names: str) -> list[str]:
    """Places below a folder that name one of these ids or texts."""
    words = [word for name in names for word in (json.dumps(name), f'"{name}#')]
    texts = [(uri, json.dumps(table.to_pylist())) for uri, table in tables_below(folder)]
    texts += [(uri, storage.read_bytes(uri).decode()) for uri, _, _ in storage.find_files(folder) if _is_report(uri)]
    return [uri for uri, text in texts if any(word in text for word in words)]


def _is_report(uri: str) -> bool:
    return uri.endswith("mining.json")


def state(folder: str) -> dict[str, float]:
    return {uri: modified for uri, _, modified in storage.find_files(folder)}


@pytest.fixture
def erasable(world: World) -> World:
    """Two models; d2 is the only positive of q2 and judged for q3, q0 asks for d0 and d6, d1 has two chunks."""
    world.add(1)
    world.add(2, previous=True)
    return world


GONE = ("d2", "d1", "q1", "q2", "q5", TEXTS["d2"], TEXTS["d1#chunk-0"], QUERIES_TOLD["q2"], QUERIES_TOLD["q5"])
ASKED = ("document_ids=[d1,d2,nobody]", "query_ids=[q5]")


def test_a_dry_run_counts_and_changes_nothing(erasable: World):
    before = state(erasable.root)
    done = erase(erasable, *ASKED, dry_run=True)
    assert state(erasable.root) == before
    assert done["nowhere"] == 1
    assert done["models"] == ["models:/medembed/2", "models:/medembed/1"]
    assert done["lines"][-1] == "nothing has changed; dry_run=false erases for good"
    counted = dict(line.split(": ", 1) for line in done["lines"] if line.startswith(erasable.root))
    assert counted[erasable.place("data/1")] == "3 corpus, 1 group names, 3 queries, 4 qrels to erase"
    assert counted[erasable.place("tables/1.lance")] == "3 rows to erase"
    assert any("MLflow run" in line and "1 reports" in line for line in done["lines"])


def test_nothing_holds_an_erased_document_or_query_afterwards_and_models_are_named(erasable: World):
    assert naming(erasable.root, *GONE), "else this test could not fail"
    fingerprints = [open_dataset(one.tags["dataset_uri"]).fingerprint for one in erasable.versions]
    done = erase(erasable, *ASKED)
    assert naming(erasable.root, *GONE) == []
    assert (
        "trained on erased rows, now or before: models:/medembed/2, models:/medembed/1: retrain or delete them"
        in (done["lines"])
    )
    assert done["lines"][-1].startswith(
        "of 2 tables only a new version is left: servers of them must then be deployed anew"
    )
    data = open_dataset(erasable.place("data/1"))
    assert data.fingerprint == fingerprints[0]
    assert data.manifest["counts"] == {"documents": 6, "queries": 5, "judgments": 5, "chunks": 6}
    assert data.corpus().num_rows == sum(rows for _, rows in data.corpus_files()) == 6
    assert data.qrels()["q0"] == {"d0": 1.0, "d6": 1.0}
    assert set(data.queries()["query_id"].to_pylist()) == {"q0", "q3", "q4", "q6", "q7"}, "q7's positive is held out"
    assert data.manifest["erased"]["rows"] > 0
    assert not {"d1", "d2", "q5"} & set(json.dumps(data.manifest).replace('"', " ").split())
    examples = open_examples(erasable.place("examples/1"))
    assert {row["query_id"] for row in examples.read()} == {"q0", "q3", "q4", "q6"}
    for row in examples.read():
        sizes = {len(row[name]) for name in row if name.startswith("negative") and row[name] is not None}
        assert len(sizes) == 1, "lists side by side stay so"
    measured = read_evaluation(erasable.place("evaluations/1"), "m")
    assert measured.queries
    assert measured.documents
    assert measured.pairs
    assert set(measured.queries.units.ids) == {"q0", "q3", "q4", "q6", "q7"}
    assert (measured.documents.units.ids, measured.pairs.units.ids) == (("d3", "d4"), ("q3\td3", "q4\td4"))
    for version in all_versions(erasable.registry, "medembed"):
        table = find_table(version.tags["table"], int(version.tags["table_version"]))
        assert table, "a version names the table's version that is left"
        assert table.rows == 6
        report = read_artifact(erasable.registry, version.run_id, "report.html").decode()
        assert "rows that were erased" in report
        assert QUERIES_TOLD["q2"] not in report
    again = erase(erasable, *ASKED)
    assert (again["rows"], again["nowhere"]) == (0, 4)
    assert again["models"] == ["models:/medembed/2", "models:/medembed/1"], "still trained on them"


@pytest.mark.parametrize(
    ("call", "step"), [("write_bytes", 2), ("write_bytes", 8), ("delete_file", 1), ("delete_file", 4)]
)
def test_after_a_death_at_any_step_the_same_command_finishes(
    call: str, step: int, world: World, monkeypatch: pytest.MonkeyPatch
):
    world.add(1)
    calls: list[str] = []
    original = getattr(storage, call)

    def die(uri: str, *rest: Any) -> None:
        calls.append(uri)
        if len(calls) == step:
            raise KeyboardInterrupt
        original(uri, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(storage, call, die)
        with pytest.raises(KeyboardInterrupt):
            erase(world, *ASKED)
    done = erase(world, *ASKED)
    assert naming(world.root, *GONE) == []
    assert done["models"] == ["models:/medembed/1"]
    assert "leaving" not in open_dataset(world.place("data/1")).manifest


def test_a_backup_is_cleaned_and_can_be_restored(erasable: World, new_registry: NewRegistry, tmp_path: Path):
    to = str(tmp_path / "backup")
    backup(erasable, to)
    assert naming(to, *GONE)
    erase(erasable, *ASKED, f"backups=[{to}]")
    assert naming(to, *GONE) == []
    assert not [name for name in storage.list_files(to) if name.endswith(".html") and b"q2" in storage.read_bytes(
        storage.join(to, name))]  # fmt: skip
    registry = new_registry("other")
    restore(to, str(tmp_path / "out"), registry)
    for version in all_versions(registry, "medembed"):
        table = find_table(version.tags["table"], int(version.tags["table_version"]))
        assert table
        assert table.rows == 6


def test_a_backup_that_lies_in_a_place_is_cleaned_as_one(erasable: World, new_registry: NewRegistry, tmp_path: Path):
    backup(erasable, str(tmp_path / "place/backup"))
    erase(erasable, *ASKED, f"places=[{tmp_path}/place/]")
    assert naming(str(tmp_path / "place"), *GONE) == []
    restore(str(tmp_path / "place/backup"), str(tmp_path / "out"), new_registry("other"))


def test_a_backup_in_which_an_erasure_broke_off_is_not_restored_until_it_is_finished(
    erasable: World, new_registry: NewRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    to = str(tmp_path / "backup")
    backup(erasable, to)
    with monkeypatch.context() as patch:
        patch.setattr("medembed.custody.reseal.Reseal._restamp", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            erase(erasable, *ASKED, f"backups=[{to}]")
    registry = new_registry("other")
    with pytest.raises(StorageError, match="an erasure in this backup was interrupted"):
        restore(to, str(tmp_path / "out"), registry)
    erase(erasable, *ASKED, f"backups=[{to}]")
    restore(to, str(tmp_path / "out"), registry)
    assert naming(str(tmp_path / "out"), *GONE) == []


def test_places_beside_the_registry_are_searched_and_a_report_that_shows_an_id_goes(erasable: World, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("<td>d2</td>")
    (other / "foreign.html").write_text("<td>d2</td>")
    os.rename(erasable.place("evaluations/1"), other / "moved")
    erase(erasable, *ASKED, f"places=[{other}]")
    assert naming(str(other), *GONE) == []
    assert "d2" not in (other / "report.html").read_text()
    assert (other / "foreign.html").read_text() == "<td>d2</td>", "only what is ours is touched"


def test_what_mining_reports_keeps_no_erased_id(erasable: World):
    before = open_examples(erasable.place("examples/1")).report()
    lines = erase(erasable, *ASKED)["lines"]
    after = open_examples(erasable.place("examples/1")).report()
    suspects = [row["query_id"] for row in after["likely_false_negatives"]]
    assert suspects == ["q0", "q3", "q6"], "q4's document is d2"
    assert after["queries_with_too_few"] == {"count": 2, "ids": ["q3"]}
    assert after["counts"] == before["counts"]
    assert any(line.startswith(f"{erasable.place('examples/1')}: 5 entries of a report, ") for line in lines)


def test_what_versions_do_not_name_is_found_below_the_outputs_of_runs(erasable: World):
    dataset = write_dataset(erasable.place("data", "grown"), {})
    write_examples(erasable.place("pool", "key"), dataset, erasable.place("tables", "base.lance"))
    died = erasable.place("data", "died")
    shutil.copytree(dataset.uri, died)
    shutil.copytree(erasable.place("examples", "1"), erasable.place("examples", "died"))
    for uri in (died, erasable.place("examples", "died")):
        os.remove(f"{uri}/{MANIFEST}")
    results = pa.table({"query_id": ["q2", "q3", "q4"], "rank": [1, 1, 1], "document_id": ["d3", "d1", "d4"],
                        "row_id": ["d3", "d1#chunk-0", "d4"], "score": [0.9, 0.8, 0.7]})  # fmt: skip
    storage.write_parquet(erasable.place("search", "results.parquet"), results)
    foreign = erasable.place("mine.parquet")
    storage.write_parquet(foreign, pa.table({"document_id": ["d0"], "mine": [1]}))
    torn = f"{died}/corpus/part-00000-00002.parquet.{'0' * 32}.part"
    storage.write_bytes(torn, b"PAR1 half")
    done = erase(erasable, *ASKED)
    assert naming(erasable.root, *GONE) == []
    assert not storage.exists(torn)
    assert storage.read_parquet(erasable.place("search", "results.parquet"))["query_id"].to_pylist() == ["q4"]
    assert storage.exists(foreign)
    assert storage.exists(f"{died}/groups/part-00000.parquet"), "only what holds erased rows goes"
    assert not [line for line in done["lines"] if line.startswith("not searched")]


def test_vectors_that_a_dead_run_left_go_whether_or_not_there_is_a_table(erasable: World):
    corpus = open_dataset(erasable.place("data/1")).corpus()
    vectors = Codec(WIDTH).write(np.zeros((len(corpus), WIDTH), np.float32))
    for name in ("dead", "1"):
        write_fragment(erasable.place("tables", f"{name}.lance"), corpus, vectors)
    storage.write_bytes(erasable.place("tables/dead.lance/_staging/0-key/0000000.json"), b"[]")
    storage.write_bytes(erasable.place("tables/1.lance/data/torn.lance"), b"half")
    lines = erase(erasable, "document_ids=[d2]", dry_run=True)["lines"]
    assert f"{erasable.place('tables/dead.lance')}: 1 rows of a run that died to erase" in lines
    erase(erasable, "document_ids=[d2]")
    assert not storage.exists(erasable.place("tables/dead.lance"))
    table = find_table(erasable.place("tables/1.lance"))
    assert table
    assert table.rows == 8
    assert len(storage.find_files(f"{table.uri}/data/*.lance")) == 1
    assert erase(erasable, "document_ids=[d2]", dry_run=True)["rows"] == 0


def test_on_an_object_store_all_of_it_goes_too(new_registry: NewRegistry, encoder_folder: Path, bucket: str):
    world = World(f"{bucket}/world", new_registry("ws"), encoder_folder)
    corpus = open_dataset(world.add(1).tags["dataset_uri"]).corpus()
    vectors = Codec(WIDTH).write(np.zeros((len(corpus), WIDTH), np.float32))
    write_fragment(world.place("tables", "dead.lance"), corpus, vectors)
    storage.write_parquet(world.place("data/died/corpus/part-00000-00000.parquet"), corpus)
    assert naming(world.root, *GONE)
    lines = erase(world, *ASKED)["lines"]
    assert f"{world.place('tables/dead.lance')}: 3 rows of a run that died erased" in lines
    assert naming(world.root, *GONE) == []
    assert not storage.find_files(world.place("tables/dead.lance"))
    assert erase(world, *ASKED)["rows"] == 0


def test_places_of_a_removed_version_are_told_by_its_run_and_what_these_were_made_from_by_them(
    erasable: World, tmp_path: Path
):
    far = World(str(tmp_path / "far"), erasable.registry, erasable.base)
    version = far.add(7)
    write_artifact(far.registry, version.run_id, "config.yaml", b"epochs: 1\n")
    delete_version(far.registry, version)
    dataset = open_dataset(version.tags["dataset_uri"])
    mined_from = write_table(far.place("tables", "base.lance"), dataset, "encoder", 1).uri  # by the examples' manifest
    erase(erasable, *ASKED)
    left = naming(far.root, *GONE)
    assert left
    assert all("/evaluations/" in uri for uri in left), "which nothing names"
    assert find_table(mined_from).rows == 6


def test_a_part_of_an_output_is_searched_as_a_whole(erasable: World):
    for part in ("data/1/corpus", "tables/1.lance/data"):
        spots = {(spot.uri, spot.kind) for spot in search(erasable.place(part))}
        assert {uri for uri, _ in spots} == {erasable.place(part.rpartition("/")[0])}


def test_what_cannot_be_read_is_an_error_and_an_unfinished_run_a_line(erasable: World):
    run = erasable.place("models", "3.run")
    storage.write_bytes(f"{run}/run.json", b"{}")
    lines = erase(erasable, *ASKED, dry_run=True)["lines"]
    assert f"not searched: {run}: a run that is not finished; finish it, or remove the folder" in lines
    with pytest.raises(StorageError, match="places: /nowhere is not there"):
        erase(erasable, *ASKED, "places=[/nowhere]")
    for name, _, _ in storage.find_files(erasable.place("tables/1.lance/_versions")):
        storage.write_bytes(name, b"damaged")
    with pytest.raises(StorageError, match="cannot open the embedding table"):
        erase(erasable, *ASKED, dry_run=True)


def test_what_is_found_later_loses_the_queries_that_were_lost_before(erasable: World, tmp_path: Path):
    later = tmp_path / "later"
    for name in ("examples", "evaluations"):
        shutil.copytree(erasable.place(name, "1"), later / name)
    (later / "report.html").write_text("<td>q2</td>")
    results = pa.table({"query_id": ["q2", "q3"], "rank": [1, 1], "document_id": ["d3", "d4"],
                        "row_id": ["d3", "d4"], "score": [0.9, 0.7]})  # fmt: skip
    storage.write_parquet(str(later / "results.parquet"), results)
    erase(erasable, "document_ids=[d2]")
    assert "q2" not in json.dumps(open_dataset(erasable.place("data/1")).manifest)
    erase(erasable, "document_ids=[d2]", f"places=[{later}]")
    assert naming(str(later), "d2", "q2", TEXTS["d2"], QUERIES_TOLD["q2"]) == []
    assert naming(str(later), "q3")
    assert "q2" not in (later / "report.html").read_text()
    assert erase(erasable, "document_ids=[d2]", f"places=[{later}]")["rows"] == 0


def test_an_erasure_in_a_restored_copy_leaves_the_original_alone_and_says_so(
    erasable: World, new_registry: NewRegistry, tmp_path: Path
):
    original = state(erasable.root)
    to, out, registry = str(tmp_path / "backup"), str(tmp_path / "out"), new_registry("other")
    backup(erasable, to)
    restore(to, out, registry)
    delete_version(registry, registry.resolve("models:/medembed/1"))
    lines = erase(World(out, registry, erasable.base), *ASKED)["lines"]
    assert naming(out, *GONE) == []
    assert state(erasable.root) == original
    told = [line for line in lines if line.startswith("not searched: ")]
    assert any(line.startswith(f"not searched: {erasable.place('data/1')}, named by {out}/data/") for line in told)
    assert any(line.startswith("not searched: outputs of 2 runs that were restored") for line in told)


def test_models_of_any_name_are_found_with_all_that_were_trained_from_them(erasable: World, tmp_path: Path):
    first, second = erasable.versions
    other = Registry(
        erasable.registry.tracking_uri, erasable.registry.config.model_copy(update={"model_name": "other"})
    )
    clean = {"dataset": "another", "dataset_uri": str(tmp_path), "examples": "none"}
    for parent, encoder in ((second.tags["encoder"], "gone"), ("gone", "grandchild"), ("base", "stranger")):
        made = other.register(
            str(erasable.base),
            params={},
            metrics={},
            artifacts={},
            tags={**clean, "parent": parent, "encoder": encoder},
        )
        if encoder == "gone":
            delete_version(other, made)
    trained = other.register(first.source, params={}, metrics={}, artifacts={}, tags=first.tags)
    other.log_run(params={}, metrics={}, artifacts={}, tags={"dataset": first.tags["dataset"], "encoder": "stranger"})
    for _ in range(2):
        done = erase(erasable, *ASKED)
        assert set(done["models"]) == {"models:/medembed/2", "models:/medembed/1", f"models:/other/{trained.version}"}
        assert done["descendants"] == ["models:/other/2"], (
            "an evaluation of the stranger on that data set is no training"
        )
        assert any(line.startswith("descends from such a model: models:/other/2: ") for line in done["lines"])


def test_versions_that_only_a_backup_has_are_named_and_marked(
    erasable: World, new_registry: NewRegistry, tmp_path: Path
):
    to = str(tmp_path / "backup")
    backup(erasable, to)
    delete_version(erasable.registry, erasable.versions[0])
    done = erase(erasable, *ASKED, f"backups=[{to}]")
    assert done["models"] == ["models:/medembed/2", f"models:/medembed/1 in {to}"]
    registry = new_registry("other")
    restore(to, str(tmp_path / "out"), registry)
    assert ["rows on" in one.tags["erased"] for one in all_versions(registry, "medembed")] == [True, True]


def test_an_id_is_seen_in_a_page_as_a_word_alone_and_not_in_pictures():
    wanted = Wanted(frozenset({"d1"}), frozenset({"a<b"}))
    assert clean_page(b"<td>d1</td>", wanted)
    assert clean_page(b"<td>a&lt;b</td>", wanted)
    assert clean_page(b"<td>d12</td> <td>xd1</td>", wanted) is None
    assert clean_page(b'<img src="data:image/png;base64,AA/d1+d1=="/>', wanted) is None


def test_a_numeric_id_is_seen_where_a_report_lists_ids_and_nowhere_else():
    wanted = Wanted(frozenset({"12", "64"}), frozenset({"0.5"}))
    page = b"""<p>ndcg 0.12 at 64 dimensions, 12 queries</p><tr><th scope="row">64<span>256 B</span></th><td>12</td>
    <td>0.5</td></tr><dd>12 documents, 0.12</dd>"""
    assert clean_page(page, wanted) is None
    assert clean_page(page + b'<th scope="row" class="id">12<span class="text">a text</span></th>', wanted)
    assert clean_page(b'<th scope="row" class="id">64#chunk-3</th>', wanted)


def test_what_cannot_be_searched_is_said(world: World):
    gone = world.add(1).tags["examples_uri"]
    storage.delete_folder(gone)
    world.registry.client.create_model_version("medembed", source=str(world.base), run_id=None)
    lines = erase(world, "document_ids=[d2]", dry_run=True)["lines"]
    assert f"not searched: {gone}: is not there any more" in lines
    assert "not searched: models:/medembed/2: where its data lies is not recorded; give it in places" in lines


def test_ids_come_from_a_file_one_a_line_and_none_is_an_error(erasable: World, tmp_path: Path):
    (tmp_path / "ids.txt").write_text("007\n\nd2\n")
    done = erase(erasable, f"document_ids_file={tmp_path / 'ids.txt'}", dry_run=True)
    assert done["nowhere"] == 1
    with pytest.raises(ConfigError, match="document_ids: missing"):
        erase(erasable)
    with pytest.raises(ConfigError, match="valid string"):
        erase(erasable, "document_ids=[007]")
