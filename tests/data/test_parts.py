"""Sources -> parts: which files are read, as what, and cut where."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medembed import storage
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.formats import files, jsonl, parquet
from medembed.data.formats.format import Part
from medembed.data.parts import find_parts
from medembed.data.prepare import prepare
from medembed.errors import DataError
from tests.inline_spread import alone


@pytest.fixture
def one_process() -> Iterator[None]:
    with alone():
        yield


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place on a local disk, and one on a real S3 server."""
    return (
        str(tmp_path)
        if request.param == "folder"
        else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    )


def put(root: str, names: str) -> None:
    for name in names.split():
        storage.write_bytes(storage.join(root, name), b'{"query": "a", "document": "b"}\n')


def found(path: str, root: str) -> list[str]:
    return [part.uri.removeprefix(f"{root}/") for part in find_parts(SourceConfig(path=path)).parts]


def test_files_folders_and_patterns_are_found_in_order_of_name(root: str):
    put(root, "b.jsonl a.jsonl sub/c.jsonl sub/deep/d.jsonl sub/e.json")
    assert found(f"{root}/a.jsonl", root) == ["a.jsonl"]
    assert found(root, root) == [
        "a.jsonl",
        "b.jsonl",
        "sub/c.jsonl",
        "sub/deep/d.jsonl",
        "sub/e.json",
    ]
    assert found(f"{root}/sub/", root) == ["sub/c.jsonl", "sub/deep/d.jsonl", "sub/e.json"]
    assert found(f"{root}/*.jsonl", root) == ["a.jsonl", "b.jsonl"]
    assert found(f"{root}/?.jsonl", root) == ["a.jsonl", "b.jsonl"]
    assert found(f"{root}/**.jsonl", root) == [
        "a.jsonl",
        "b.jsonl",
        "sub/c.jsonl",
        "sub/deep/d.jsonl",
    ]
    assert found(f"{root}/sub/*/d.*", root) == ["sub/deep/d.jsonl"]


def test_what_tools_leave_beside_the_files_of_a_folder_is_no_source_unless_named(root: str):
    put(root, "a.jsonl _SUCCESS .DS_Store ._a.jsonl .git/config sub/_metadata/x.bin _b.jsonl")
    assert found(root, root) == ["a.jsonl"]
    assert found(f"{root}/_b.jsonl", root) == ["_b.jsonl"]
    assert found(f"{root}/*b.jsonl", root) == ["_b.jsonl"]


def test_a_hidden_folder_above_the_source_hides_nothing(tmp_path: Path):
    put(str(tmp_path), ".cache/_data/a.jsonl")
    assert found(f"{tmp_path}/.cache/_data", str(tmp_path)) == [".cache/_data/a.jsonl"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("p.jsonl", "jsonl"),
        ("p.ndjson", "jsonl"),
        ("p.json", "jsonl"),
        ("P.JSONL", "jsonl"),
        ("p.v2.csv", "csv"),
        ("p.csv.gz", "csv"),
        ("p.tsv", "tsv"),
        ("p.obo", "ontology"),
    ],
)
def test_the_format_goes_by_the_name(name: str, form: str, tmp_path: Path):
    content = gzip.compress(b"x", mtime=0) if name.endswith(".gz") else b"x"
    (tmp_path / name).write_bytes(content)
    source = find_parts(SourceConfig(path=str(tmp_path / name)))
    assert (source.format, source.parts) == (form, (Part(str(tmp_path / name), form),))


def test_lines_are_cut_by_bytes_and_what_cannot_be_cut_is_one_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jsonl, "PART_BYTES", 100)
    for name, size in (("a.jsonl", 100), ("b.jsonl", 201), ("c.jsonl", 0)):
        (tmp_path / name).write_bytes(b"x" * size)
    cuts = [
        (part.uri[-7:], part.start, part.end)
        for part in find_parts(SourceConfig(path=str(tmp_path))).parts
    ]
    assert cuts == [
        ("a.jsonl", 0, None),
        ("b.jsonl", 0, 100),
        ("b.jsonl", 100, 200),
        ("b.jsonl", 200, 201),
        ("c.jsonl", 0, None),
    ]
    for name in ("d.csv", "d.tsv", "d.jsonl.gz"):
        (tmp_path / name).write_bytes(b"x" * 500)
        (part,) = find_parts(SourceConfig(path=str(tmp_path / name))).parts
        assert (part.start, part.end) == (0, None)


def test_parquet_is_cut_between_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet, "_ROWS_PER_PART", 5)
    pq.write_table(pa.table({"a": list(range(17))}), tmp_path / "p.parquet", row_group_size=3)
    cuts = [
        (part.start, part.end)
        for part in find_parts(SourceConfig(path=str(tmp_path / "p.parquet"))).parts
    ]
    assert cuts == [(0, 2), (2, 4), (4, 6)]


def write_pairs(path: Path, count: int, **more: object) -> list[str]:
    lines = [
        json.dumps({"query": f"é {n}", "document": f"d {n % 7}"} | more) + "\r\n"
        for n in range(count)
    ]
    path.write_bytes("".join(lines).encode())
    return lines


def settings(path: Path) -> SourceConfig:
    return SourceConfig(path=str(path), query_language="en", document_language="en")


def test_the_data_set_does_not_depend_on_the_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_process: None
):
    write_pairs(tmp_path / "p.jsonl", 40)
    whole = prepare(settings(tmp_path / "p.jsonl"), SplitConfig(), str(tmp_path / "whole"))
    for size in (50, 97, 1000):
        monkeypatch.setattr(jsonl, "PART_BYTES", size)
        cut = prepare(settings(tmp_path / "p.jsonl"), SplitConfig(), str(tmp_path / f"cut-{size}"))
        assert (
            cut.manifest.counts
            == whole.manifest.counts
            == {"documents": 7, "queries": 40, "judgments": 40}
        )
        assert cut.fingerprint == whole.fingerprint


def test_a_bad_row_in_a_later_part_is_named_by_its_line_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_process: None
):
    monkeypatch.setattr(jsonl, "PART_BYTES", 70)
    path = tmp_path / "p.jsonl"
    for line in (1, 2, 3, 19, 40):
        lines = write_pairs(path, 40)
        lines[line - 1] = "{\n"
        path.write_bytes("".join(lines).encode())
        with pytest.raises(DataError, match=f"^{path}:{line}: not valid JSON"):
            prepare(settings(path), SplitConfig(), str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()


def test_both_places_of_an_id_with_two_texts_are_right_in_whatever_part_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_process: None
):
    monkeypatch.setattr(jsonl, "PART_BYTES", 70)
    path = tmp_path / "p.jsonl"
    lines = write_pairs(path, 40)
    named = []
    for number, line in enumerate(lines, start=1):
        query_id = "x" if number in (13, 34) else f"q{number}"
        named.append(json.dumps(json.loads(line) | {"query_id": query_id}) + "\n")
    path.write_bytes("".join(named).encode())
    with pytest.raises(
        DataError, match=f"^{path}:34: query id 'x' stands for another text in {path}:13 "
    ):
        prepare(settings(path), SplitConfig(), str(tmp_path / "out"))


def write_beir(root: str, qrels: str = "qrels/test.tsv", end: str = "") -> None:
    contents = {
        "corpus.jsonl": '{"_id": "d1", "title": "T", "text": "D"}\n{"_id": "d2", "title": "", "text": "E"}\n',
        "queries.jsonl": '{"_id": "q1", "text": "Q"}\n{"_id": "q2", "text": "R"}\n',
        qrels: "query-id\tcorpus-id\tscore\r\nq1\td1\t1\r\nq2\td2\t0\r\nq2\td1\t2\r\n",
    }
    for name, text in contents.items():
        content = gzip.compress(text.encode()) if end == ".gz" else text.encode()
        storage.write_bytes(storage.join(root, name + end), content)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_beir_folder_is_known_by_its_files_and_each_is_read_as_what_it_is(root: str, end: str):
    write_beir(root, end=end)
    put(root, "README.md qrels/notes.txt scores.csv")
    source = find_parts(SourceConfig(path=root))
    assert source.format == "beir"
    assert {(part.uri, part.format, part.kind, part.split) for part in source.parts} == {
        (f"{root}/corpus.jsonl{end}", "jsonl", "corpus", None),
        (f"{root}/queries.jsonl{end}", "jsonl", "queries", None),
        (f"{root}/qrels/test.tsv{end}", "tsv", "qrels", "test"),
    }
    assert find_parts(SourceConfig(path=root, format="beir")) == source


def test_a_folder_without_corpus_or_queries_is_no_beir_folder(tmp_path: Path):
    put(str(tmp_path), "queries.jsonl other.jsonl")
    assert find_parts(SourceConfig(path=str(tmp_path))).format == "jsonl"
    with pytest.raises(
        DataError, match="expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/"
    ):
        find_parts(SourceConfig(path=str(tmp_path), format="beir"))


def test_the_fingerprint_goes_by_content_and_by_what_names_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fingerprint(name: str) -> str:
        return find_parts(SourceConfig(path=str(tmp_path / name))).fingerprint

    for name in ("dev", "test"):
        write_beir(str(tmp_path / name), f"qrels/{name}.tsv")
    before = {name: fingerprint(name) for name in ("dev", "test")}
    assert before["dev"] != before["test"]
    corpus = tmp_path / "dev/corpus.jsonl"
    corpus.write_text(text := corpus.read_text())  # touched
    assert fingerprint("dev") == before["dev"]
    corpus.write_text(text.replace("T", "S"))
    assert fingerprint("dev") != before["dev"]
    # larger ones are not read: by name, size and time
    monkeypatch.setattr(files, "_HASHED_BYTES", 10)
    before["test"] = fingerprint("test")
    assert fingerprint("test") == before["test"]
    os.utime(tmp_path / "test/corpus.jsonl", (1, 1))
    assert fingerprint("test") != before["test"]
