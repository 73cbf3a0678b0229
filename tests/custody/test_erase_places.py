"""An erasure looks beyond what versions name, and names all models that it concerns."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medembed import storage
from medembed.artifact import MANIFEST, NewOutput, to_entries
from medembed.custody.learned import Learned, find_family
from medembed.custody.places import search
from medembed.data.dataset import open_dataset
from medembed.encoding.codec import Codec
from medembed.encoding.commit import write_fragment
from medembed.encoding.table import find_table
from medembed.errors import StorageError
from medembed.evaluation.retention.sets import place_of
from medembed.lineage import ExamplesManifest, Source
from medembed.registry.catalog import all_versions, delete_version, set_tags
from medembed.registry.models import Registry
from medembed.tags import Lineage
from tests.custody.backups import backup, restore
from tests.custody.conftest import NewRegistry
from tests.custody.erasing import ASKED, GONE, erase, naming, state
from tests.custody.world import (
    QUERY_TEXTS,
    REPORT,
    TEXTS,
    WIDTH,
    World,
    write_dataset,
    write_examples,
    write_results,
    write_table,
)


def test_examples_whose_report_alone_names_an_erased_id_go_too(erasable: World):
    uri = erasable.place("pool")
    with NewOutput(uri, "key") as output:
        output.write_bytes("mining.json", json.dumps(REPORT).encode())
        output.commit(ExamplesManifest(counts={"pairs": 0, "examples": 0}))
    done = erase(erasable, *ASKED)
    assert f"{uri}: 1 rows erased" in done["lines"]
    assert not storage.exists(uri)


def test_what_names_nothing_that_is_erased_stays_whole(erasable: World):
    before = {
        kind: state(erasable.place(kind)) for kind in ("data", "examples", "evaluations", "tables")
    }
    done = erase(erasable, "document_ids=[nobody]")
    assert (done["rows"], done["deleted"]) == (0, [])
    assert {kind: state(erasable.place(kind)) for kind in before} == before


def test_what_versions_do_not_name_is_found_below_the_outputs_of_runs(erasable: World):
    dataset = write_dataset(erasable.place("data", "grown"))
    write_examples(erasable.place("pool", "key"), dataset, erasable.place("tables", "base.lance"))
    died = erasable.place("data", "died")
    shutil.copytree(dataset.uri, died)
    shutil.copytree(erasable.place("examples", "1"), erasable.place("examples", "died"))
    for uri in (died, erasable.place("examples", "died")):
        os.remove(f"{uri}/{MANIFEST}")
    results = erasable.place("search", "results.parquet")
    write_results(results, ["q2", "q3", "q4"], ["d3", "d1#chunk-0", "d4"])
    foreign = erasable.place("mine.parquet")
    storage.write_parquet(foreign, pa.table({"document_id": ["d0"], "mine": [1]}))
    torn = f"{died}/corpus/part-00000-00002.parquet.{'0' * 32}.part"
    storage.write_bytes(torn, b"PAR1 half")
    done = erase(erasable, *ASKED)
    assert naming(erasable.root, *GONE) == []
    assert not storage.exists(torn)
    assert not storage.exists(results)
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


def test_on_an_object_store_all_of_it_goes_too(
    new_registry: NewRegistry, encoder_folder: Path, bucket: str
):
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
    far.registry.client.delete_tag(version.run_id, "output")
    delete_version(far.registry, version)
    dataset = open_dataset(version.tags["dataset_uri"])
    # by the examples' manifest
    mined_from = write_table(far.place("tables", "base.lance"), dataset, "encoder", 1).uri
    erase(erasable, *ASKED)
    left = naming(far.root, *GONE)
    assert left
    assert all("/evaluations/" in uri for uri in left), "which nothing names"
    assert find_table(mined_from).rows == 6


def test_a_part_of_an_output_is_searched_as_a_whole(erasable: World):
    for part in ("data/1/corpus", "tables/1.lance/data"):
        places = {place.uri for place in search(erasable.place(part))}
        assert places == {erasable.place(part.rpartition("/")[0])}


def test_what_cannot_be_read_is_an_error_and_an_unfinished_run_a_line(erasable: World):
    run = erasable.place("models", "3.run")
    storage.write_bytes(f"{run}/run.json", b"{}")
    lines = erase(erasable, *ASKED, dry_run=True)["lines"]
    assert (
        f"not searched: {run}: a run that is not finished; finish it, or remove the folder" in lines
    )
    with pytest.raises(StorageError, match="places: /nowhere is not there"):
        erase(erasable, *ASKED, "places=[/nowhere]")
    for name, _, _ in storage.find_files(erasable.place("tables/1.lance/_versions")):
        storage.write_bytes(name, b"damaged")
    with pytest.raises(StorageError, match="cannot open the embedding table"):
        erase(erasable, *ASKED, dry_run=True)


def test_what_is_found_later_loses_the_queries_that_were_lost_before(
    erasable: World, tmp_path: Path
):
    later = tmp_path / "later"
    for name in ("examples", "evaluations"):
        shutil.copytree(erasable.place(name, "1"), later / name)
    (later / "report.html").write_text("<td>q2</td>")
    write_results(str(later / "results.parquet"), ["q2", "q3"], ["d3", "d4"])
    erase(erasable, "document_ids=[d2]")
    assert "q2" not in json.dumps(to_entries(open_dataset(erasable.place("data/1")).manifest))
    erase(erasable, "document_ids=[d2]", f"places=[{later}]")
    assert naming(str(later), "d2", "q2", TEXTS["d2"], QUERY_TEXTS["q2"]) == []
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
    assert any(
        line.startswith(f"not searched: {erasable.place('data/1')}, named by {out}/data/")
        for line in told
    )
    assert any(
        line.startswith("not searched: outputs of 2 runs that were restored") for line in told
    )


def test_models_of_any_name_are_found_with_all_that_were_trained_from_them(
    erasable: World, tmp_path: Path
):
    first, second = erasable.versions
    other = Registry(
        erasable.registry.tracking_uri,
        erasable.registry.config.model_copy(update={"model_name": "other"}),
    )
    clean = Lineage(dataset=Source("another", str(tmp_path)))
    for parent, encoder in (
        (second.tags["encoder"], "gone"),
        ("gone", "grandchild"),
        ("base", "stranger"),
    ):
        made = other.register(
            str(erasable.base),
            params={},
            metrics={},
            artifacts={},
            lineage=replace(clean, parent=Source(parent), encoder=encoder),
        )
        if encoder == "gone":
            delete_version(other, made)
    trained = other.register(
        first.source, params={}, metrics={}, artifacts={}, lineage=first.lineage
    )
    other.log_run(
        params={},
        metrics={},
        artifacts={},
        tags={"dataset": first.tags["dataset"], "encoder": "stranger"},
    )
    for _ in range(2):
        done = erase(erasable, *ASKED)
        assert set(done["models"]) == {
            "models:/medembed/2",
            "models:/medembed/1",
            f"models:/other/{trained.version}",
        }
        assert done["descendants"] == ["models:/other/2"], (
            "an evaluation of the stranger on that data set is no training"
        )
        assert any(
            line.startswith("descends from such a model: models:/other/2: ")
            for line in done["lines"]
        )


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
    assert [
        "rows on" in version.tags["erased"] for version in all_versions(registry, "medembed")
    ] == [
        True,
        True,
    ]


def test_a_retention_set_that_a_training_made_beside_its_checkpoint_is_found(
    erasable: World, tmp_path: Path
):
    far = World(str(tmp_path / "far"), erasable.registry, erasable.base)
    version = far.add(7)
    set_tags(far.registry, version, Lineage(output=version.source))
    made = write_dataset(place_of(far.place("models"), "data/made"))
    erase(erasable, *ASKED)
    assert naming(made.uri, *GONE) == []


def test_a_model_counts_the_erased_rows_that_it_was_trained_on_and_none_of_a_table():
    trained_on = {"dataset": Source("d"), "examples": Source("e"), "table": Source("t")}
    note = Learned({"d": 2, "e": 3, "t": 5}).note(Lineage(**trained_on))
    assert note is not None
    assert (note.erased or "").startswith("5 rows on ")
    assert Learned({"t": 5}).note(Lineage(**trained_on)) is None


def test_descent_goes_over_any_number_of_steps_and_ends_in_a_circle():
    pairs = [("a", "b"), ("b", "c"), ("c", "b"), ("x", "y")]
    lineages = [Lineage(parent=Source(parent), encoder=encoder) for parent, encoder in pairs]
    lineages += [Lineage(encoder="z"), Lineage(parent=Source("a"))]
    lineages.append(Lineage(parent=Source("x"), teacher=Source("c"), encoder="student"))
    assert find_family(["a"], lineages) == {"a", "b", "c", "student"}
    assert find_family([], lineages) == set()
