"""An output appears whole or not at all, and its manifest says only what it should."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from medembed import storage
from medembed.artifact import (
    NewOutput,
    find_output,
    read_manifest,
    read_one_of,
    to_entries,
    write_manifest,
)
from medembed.custody.kinds import (
    ALL_KINDS,
    BackupManifest,
    Copied,
    CopiedVersion,
    LeavingManifest,
)
from medembed.errors import StorageError
from medembed.facts import Searched, Start, TextFacts
from medembed.lineage import (
    CheckpointManifest,
    DatasetManifest,
    EvaluationManifest,
    ExamplesManifest,
    ExportManifest,
    Manifest,
    Origin,
    Source,
    StartManifest,
    TableManifest,
)

THING = ExportManifest(dimensions=8, rows=1)


@pytest.mark.parametrize(
    "manifest",
    [
        DatasetManifest(files=("corpus/../../x.parquet",)),
        BackupManifest(copies={"../x": Copied("hash", 1)}),
    ],
)
def test_a_manifest_that_names_a_file_outside_its_folder_is_refused_before_anything_is_read(
    manifest: Manifest, tmp_path: Path
):
    write_manifest(str(tmp_path), manifest)
    with pytest.raises(StorageError, match="leads out of this folder"):
        read_manifest(str(tmp_path), type(manifest))
    with pytest.raises(StorageError, match="leads out of this folder"):
        read_one_of(str(tmp_path), ALL_KINDS)


def test_a_manifest_that_says_something_else_than_it_should_names_the_entry(tmp_path: Path):
    entries = to_entries(DatasetManifest()) | {"counts": {"documents": "many"}}
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(
        StorageError,
        match=r"manifest.json: counts.documents: .*valid integer.*; the file is damaged",
    ):
        read_manifest(str(tmp_path), DatasetManifest)


def test_every_kind_of_manifest_is_read_as_it_was_written(tmp_path: Path):
    source = Source("f", "s3://b/x", 3)
    manifests: list[Manifest] = [
        DatasetManifest(
            origin=Origin(dataset=source),
            documents=TextFacts({"en": 1}, {50: 7}),
            columns={"query": ("q",)},
        ),
        ExamplesManifest(searched=Searched("e", "float32", 32, None, 8), table_files={"a": ""}),
        EvaluationManifest(encoder="e", origin=Origin(table=source)),
        ExportManifest(dimensions=8, rows=1),
        StartManifest(start=Start(3, {8: 0.5})),
        CheckpointManifest(
            dimensions=(32, 8), dev={"score": 0.5, "step": 3.0}, start=Start(3, {8: 0.5})
        ),
        BackupManifest(
            versions={"1": CopiedVersion("r", {}, {"dataset": "data/1"})}, is_erasing=True
        ),
        LeavingManifest(files=("a",)),
    ]
    assert {type(manifest) for manifest in manifests} == {*ALL_KINDS} - {TableManifest}
    for manifest in manifests:
        write_manifest(str(tmp_path), manifest)
        assert (
            read_manifest(str(tmp_path), type(manifest))
            == read_one_of(str(tmp_path), ALL_KINDS)
            == manifest
        )


def test_an_output_is_invisible_until_committed_and_found_by_its_key_afterwards(root: str):
    uri = storage.join(root, "out")
    with NewOutput(uri, "k1") as output:
        output.write_parquet("part.parquet", pa.table({"a": [1]}))
        assert find_output(uri, ExportManifest, "k1") is None
        output.commit(THING)
    assert find_output(uri, ExportManifest, "k1") == replace(
        THING, key="k1", files=("part.parquet",)
    )


def test_an_output_that_fails_half_way_leaves_no_file(root: str):
    uri = storage.join(root, "out")
    with pytest.raises(ZeroDivisionError), NewOutput(uri, "k1") as output:
        output.write_bytes("deep/part.bin", b"x")
        raise ZeroDivisionError
    assert not storage.exists(storage.join(uri, "deep/part.bin"))
    with pytest.raises(StorageError, match="expected a finished exported embeddings"):
        read_manifest(uri, ExportManifest)


def test_an_output_of_which_another_run_has_removed_a_file_is_not_committed(root: str):
    """One that was making the same, and failed: both wrote the same names."""
    uri = storage.join(root, "out")
    with NewOutput(uri, "k1") as output:
        output.write_bytes("a.bin", b"x")
        output.write_bytes("b.bin", b"x")
        storage.delete_file(storage.join(uri, "a.bin"))
        with pytest.raises(StorageError, match=r"a.bin: was removed by another run; run again"):
            output.commit(THING)
    assert find_output(uri, ExportManifest, "k1") is None


def test_a_run_that_fails_removes_nothing_of_what_another_run_has_finished_meanwhile(root: str):
    uri = storage.join(root, "out")
    with pytest.raises(ZeroDivisionError), NewOutput(uri, "k1") as late:
        late.write_bytes("part.bin", b"late")
        with NewOutput(uri, "k1") as early:
            early.write_bytes("part.bin", b"early")
            early.commit(THING)
        raise ZeroDivisionError
    assert find_output(uri, ExportManifest, "k1") is not None
    assert storage.read_bytes(storage.join(uri, "part.bin")) == b"early"


def test_an_output_of_other_inputs_is_never_overwritten(root: str):
    uri = storage.join(root, "out")
    with NewOutput(uri, "k1") as output:
        output.commit(THING)
    with pytest.raises(StorageError, match="other inputs or another config"):
        find_output(uri, ExportManifest, "k2")
