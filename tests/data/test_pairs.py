import json
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig
from medembed.data.pairs import read_pairs
from medembed.data.rows import Document, Dropped, Judgment, Query
from medembed.errors import DataError

GOOD = {"query": "q", "document": "d"}


def write(path: Path, *lines: str | bytes) -> SourceConfig:
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return SourceConfig(path=str(path))


def test_one_line_becomes_a_document_a_query_and_their_judgment(tmp_path: Path):
    row = json.dumps(
        {"anchor": "q", "positive": "d", "query_id": 7, "document_id": "x", "group_id": "g", "language": "fr"}
    )
    assert list(read_pairs(write(tmp_path / "p.jsonl", row))) == [
        Document("x", "d", "fr"),
        Query("7", "q", "fr", "g"),
        Judgment("7", "x"),
    ]


def test_equal_texts_get_equal_ids_so_a_query_can_have_several_positives(tmp_path: Path):
    rows = list(read_pairs(write(tmp_path / "p.jsonl", json.dumps(GOOD), json.dumps(GOOD | {"document": "other"}))))
    assert len({row.query_id for row in rows if isinstance(row, Query)}) == 1
    assert len({row.document_id for row in rows if isinstance(row, Document)}) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "SECRET", "document": ""}', "missing or empty 'document'"),
        ('{"query": "SECRET"}', "no document; accepted names: document, positive, answer"),
        ('{"query": "SECRET", "document": 3}', "missing or empty 'document'"),
        ('{"query": "SECRET", ', "not valid JSON at column"),
        ('["SECRET"]', "expected a JSON object, found list"),
        ('{"query": "SECRET \\ud800", "document": "d"}', "half of a surrogate pair"),
        (b'{"query": "SECRET \xff", "document": "d"}', "not UTF-8 at byte"),
        ('{"query": "SECRET", "document": "d", "query_id": [1]}', "'query_id' is a list"),
    ],
)
def test_a_bad_row_is_an_error_with_file_and_line_and_without_its_text(tmp_path: Path, line: str | bytes, message: str):
    source = write(tmp_path / "p.jsonl", json.dumps(GOOD), line)
    with pytest.raises(DataError, match=f"p.jsonl:2: .*{message}") as caught:
        list(read_pairs(source))
    assert "SECRET" not in str(caught.value)
    kept = list(read_pairs(source.model_copy(update={"skip_bad_rows": True})))
    assert kept[3:] == [Dropped("malformed row")]


@pytest.mark.parametrize("kind", ["document", "query"])
def test_one_id_with_two_texts_is_an_error(tmp_path: Path, kind: str):
    rows = [json.dumps(GOOD | {f"{kind}_id": "x"}), json.dumps(GOOD | {f"{kind}_id": "x", kind: "other"})]
    with pytest.raises(DataError, match=f"p.jsonl:2: {kind}_id 'x' stands for another text"):
        list(read_pairs(write(tmp_path / "p.jsonl", *rows)))
