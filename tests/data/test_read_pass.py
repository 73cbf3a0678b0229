"""The first pass over one part: what it keeps of a row, and how much it holds at a time."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medembed import storage
from medembed.data import read_pass
from medembed.data.config import SourceConfig
from medembed.data.formats.format import Part
from medembed.data.mapping import find_mapping
from medembed.data.read_pass import SCHEMAS, StagePart
from medembed.schema import content_hash
from medembed.spelling import spelling_key, words_key


def run(
    path: Path, part: Part, columns: list[str] | None, **settings: Any
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """(what the stage returns, the staged tables by kind) for one part."""
    source = SourceConfig(path=str(path), query_language="fr", document_language="en", **settings)
    mapping = find_mapping(columns, source) if columns else None
    staging = str(path.parent / "staging")
    result = StagePart(source, {part.uri: mapping}, staging)({"number": 3, "part": asdict(part)})
    tables = {
        kind: pa.concat_tables(
            [storage.read_parquet(f"{staging}/{kind}/{name}.parquet") for name in result["files"]]
        )
        for kind in SCHEMAS
    }
    return result, tables


def keys(text: str) -> dict[str, str]:
    return {
        "content": content_hash(text),
        "spelling": content_hash(spelling_key(text)),
        "words": content_hash(words_key(text)),
        "text": text,
    }


def test_a_text_is_staged_clean_with_its_keys_its_line_and_an_id_of_its_own(tmp_path: Path):
    path = tmp_path / "p.csv"
    path.write_text(
        "question,answer,document_id,split\n  A  question?,An\u00a0answer,d7,val\n ,An answer,,\n"
    )
    result, tables = run(
        path, Part(str(path), "csv"), ["question", "answer", "document_id", "split"]
    )
    assert result == {
        "number": 3,
        "files": ["00003-0000"],
        "rows": 2,
        "bad": [],
        "late": [],
        "languages": [
            {"column": "document", "language": "en", "weight": 2 * 90},
            {"column": "query", "language": "fr", "weight": 110},
        ],
        "dropped": [
            {"rule": "empty query", "count": 1},
            {"rule": "judgment of a text that was left out", "count": 1},
        ],
    }
    query_id = f"q-{content_hash('A question?')[:16]}"
    hashed = f"d-{content_hash('An answer')[:16]}"
    document = keys("An answer") | {"column": "document", "guesses": "en", "label": None}
    document |= {"group": None, "split": None}
    assert tables["documents"].to_pylist() == [
        {"id": "d7", **document, "line": 2},
        {"id": hashed, **document, "line": 3},
    ]
    query = {"column": "query", "guesses": "fr", "group": None, "split": "dev", "tags": []}
    query["line"] = 2
    assert tables["queries"].to_pylist() == [{"id": query_id, **keys("A question?"), **query}]
    judgment = {"score": 1.0, "similarity": None, "split": None, "line": 2}
    assert tables["judgments"].to_pylist() == [
        {"query_id": query_id, "document_id": "d7", **judgment}
    ]


def test_a_worker_holds_a_bounded_number_of_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(read_pass, "_BYTES_PER_FILE", 5_000)
    path = tmp_path / "p"
    path.write_text(('{"text": "' + "word " * 100 + '"}\n') * 50)
    result, tables = run(path, Part(str(path), "jsonl"), ["text"])
    # A row has 499 bytes of text and 500 of keys: 6 go into a file.
    assert (len(result["files"]), tables["documents"].num_rows) == (9, 50)
    path.write_text("query-id\tcorpus-id\tscore\n" + "q\td\t1\n" * 105)
    result, tables = run(path, Part(str(path), "tsv", "qrels"), None)
    # A judgment has the keys alone: 11 go into a file.
    assert (len(result["files"]), tables["judgments"].num_rows) == (10, 105)
