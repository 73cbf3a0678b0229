import json
from pathlib import Path

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
    uri = write(tmp_path, "q.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert read_queries(uri) == {"a": "one", "7": "two\u2028still two", "3": "three"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"query": "SECRET', "q.jsonl:1: not valid JSON"),
        ("q.jsonl", '{"query": "a"}\n{"title": "SECRET"}', "q.jsonl:2: missing or empty query; accepted names: query"),
        ("q.jsonl", '{"query": ["SECRET"]}', "q.jsonl:1: missing or empty query"),
        ("q.jsonl", '["SECRET"]', "q.jsonl:1: missing or empty query"),
        (
            "q.jsonl",
            '{"id": "x", "query": "a"}\n{"id": "x", "query": "SECRET"}',
            "q.jsonl:2: query id 'x' stands twice",
        ),
        ("q.txt", b"SECRET \xe9", "q.txt: not UTF-8"),
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
