import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from medembed.data.query_file import read_queries
from medembed.errors import DataError, StorageError


def write(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder / name)


def test_lines_of_text_are_queries_named_by_their_number(tmp_path: Path):
    uri = write(tmp_path, "q.txt", "\ufeffheart pain\r\n\n  douleur à l'épaule  \n")
    assert read_queries(uri) == {"1": "heart pain", "3": "douleur à l'épaule"}


def test_jsonl_rows_bring_their_ids_under_the_usual_names(tmp_path: Path):
    rows = [
        {"query_id": "a", "query": "one", "text": "no"},
        {"_id": 7, "text": "two\u2028still two"},
        {"question": "three", "tags": []},
    ]
    uri = write(
        tmp_path, "q.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    assert read_queries(uri) == {"a": "one", "7": "two\u2028still two", "3": "three"}


ROWS = {"q1": "HER2- or HER2+?", "7": 'says "so", l’œdème\nof two lines'}


def write_as(folder: Path, name: str) -> str:
    """The rows, in the format that the file's name tells."""
    table = pd.DataFrame({"query_id": list(ROWS), "question": list(ROWS.values())})
    path = str(folder / name)
    if name.endswith(".parquet"):
        table.to_parquet(path)
    elif ".json" in name:
        table.to_json(path, orient="records", lines=".jsonl" in name)
    else:
        table.to_csv(
            path, sep="\t" if ".tsv" in name else ";", index=False, header="no-header" not in name
        )
    return path


@pytest.mark.parametrize(
    "name",
    [
        "q.jsonl",
        "q.jsonl.gz",
        "q.json",
        "q.parquet",
        "q.csv",
        "q.tsv",
        "q.tsv.gz",
        "no-header.tsv",
        "q.JSONL.GZ",
    ],
)
def test_queries_of_every_format_keep_their_ids_and_texts(tmp_path: Path, name: str):
    uri = write_as(tmp_path, name)
    if name == "q.JSONL.GZ":  # as Windows may name it
        Path(uri).write_bytes(gzip.compress(Path(write_as(tmp_path, "q.jsonl")).read_bytes()))
    assert read_queries(uri) == ROWS


def test_a_raw_tsv_of_ids_and_texts_is_read_as_it_stands_if_so_asked(tmp_path: Path):
    uri = write(tmp_path, "queries.dev.tsv", '2\t"what is\n1048585\t5\' "end\r\n')
    assert read_queries(uri, "none") == {"2": '"what is', "1048585": "5' \"end"}


def test_queries_of_several_files_are_read_with_the_header_that_each_has(tmp_path: Path):
    write(tmp_path, "a.tsv", "id\tQuestion\nq1\tone\n")
    write(tmp_path, "b.tsv", "q2\ttwo\n")
    assert read_queries(str(tmp_path / "*.tsv")) == {"q1": "one", "q2": "two"}


def test_of_a_beir_folder_the_queries_are_read(tmp_path: Path):
    (tmp_path / "qrels").mkdir()
    write(tmp_path, "corpus.jsonl", '{"_id": "d", "text": "no"}\n')
    write(tmp_path, "queries.jsonl", '{"_id": "q", "text": "yes"}\n')
    write(tmp_path, "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\td\t1\n")
    assert read_queries(str(tmp_path)) == {"q": "yes"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"query": "SECRET', "q.jsonl:1: not valid JSON"),
        ("q.jsonl", '{"query": "a"}\n{"title": "SECRET"}', "q.jsonl:2: missing or empty query; ac"),
        ("q.jsonl", '{"query": ["SECRET"]}', "q.jsonl:1: missing or empty query"),
        ("q.jsonl", '["SECRET"]', "q.jsonl:1: expected a JSON object, found str"),
        ("q.json", '{"q1": {"query": "SECRET"}, "q2": {"query": "b"}}', "q.json:1: one object of"),
        ("q.csv", "SECRET,SECRET b\n1,c\n", "q.csv: its first line names no column of queries"),
        ("q.tsv", "SECRET\nb\n", "q.tsv: its first line names no column of queries .* among 1; pu"),
        ("q.tsv", "1\tSECRET\n2\tb\tSECRET\n", "q.tsv:2: found 3 cells; expected an id and a text"),
        ("q.tsv", "1\tSECRET\n2\t \n", "q.tsv:2: missing or empty query"),
        ("q.tsv", '1\t"SECRET\n2\tb"\n', "q.tsv:1: a quote opens a cell that goes over 2 lines"),
        ("q.obo", "[Term]", "q.obo: looks like ontology; expected queries."),
        (
            "q.jsonl",
            '{"id": "x", "query": "a"}\n{"id": "x", "query": "SECRET"}',
            "q.jsonl:2: its query id stands in a row before",
        ),
        (
            "q.txt",
            "SECRET 发热怎么办".encode("gbk"),
            "q.txt:1: not UTF-8; looks like GB18030: set ",
        ),
        ("q.txt", "\n \n", "q.txt: no query there"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_never_its_text(
    tmp_path: Path, name: str, content: str | bytes, message: str
):
    with pytest.raises(DataError, match=message) as raised:
        read_queries(write(tmp_path, name, content))
    assert "SECRET" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match="none.txt: no such file"):
        read_queries(str(tmp_path / "none.txt"))
