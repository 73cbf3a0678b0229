"""JSON files of every layout: read, or told how to become rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medembed.data.config import SourceConfig
from medembed.data.formats import jsonl
from medembed.data.parts import find_parts, read_part
from medembed.data.reading import ColumnsConfig
from medembed.data.rows import BadRow

ROWS = [{"query": f"SECRET {number}", "document": "é"} for number in range(3)]


def read(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    source = SourceConfig(path=str(path), **settings)
    return [row for part in find_parts(source).parts for row in read_part(part, source)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["p.json", "p.jsonl", "p.json.gz"])
def test_an_array_is_read_as_rows_with_their_numbers(name: str, indent: int | None, tmp_path: Path):
    content = ("\ufeff\n" + json.dumps(ROWS, indent=indent)).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read(tmp_path / name) == list(enumerate(ROWS, start=1))


def test_an_array_is_not_cut_however_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jsonl, "PART_BYTES", 10)
    (tmp_path / "p.json").write_text(json.dumps(ROWS, indent=1))
    assert read(tmp_path / "p.json") == list(enumerate(ROWS, start=1))


def test_what_is_no_object_in_an_array_is_a_bad_row(tmp_path: Path):
    (tmp_path / "p.json").write_text(json.dumps([ROWS[0], ["SECRET"], None]))
    assert read(tmp_path / "p.json")[1:] == [
        (
            2,
            BadRow(
                "expected a JSON object, found list. Expected one object a line, as jq -c "
                "'.[]' writes them."
            ),
        ),
        (3, BadRow("expected a JSON object, found NoneType.")),
    ]


ENTRIES = "Expected one object a line: jq -c 'to_entries[] | {id: .key} + .value'."
LISTED = (
    "one object that has its rows in a list. Expected one object a line: jq -c '.[] | arrays[]'."
)
PANDAS = "a table by columns. Expected one object a line: pandas writes them by to_json(orient='records', lines=True)."


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (
            {f"SECRET {number}": row for number, row in enumerate(ROWS)},
            f"one object of 3 objects. {ENTRIES}",
        ),
        ({"a": ROWS[0]}, f"one object of 1 objects. {ENTRIES}"),
        ({"version": "1", "data": ROWS}, LISTED),
        ({"SECRET": ROWS}, LISTED),
        (json.loads(pd.DataFrame(ROWS).to_json()), PANDAS),
        (json.loads(pd.DataFrame(ROWS).to_json(orient="split")), PANDAS),
        (
            json.loads(pd.DataFrame(ROWS).to_json(orient="index")),
            f"one object of 3 objects. {ENTRIES}",
        ),
    ],
)
def test_an_object_that_holds_the_rows_is_told_how_to_become_rows(
    document: Any, fault: str, indent: int | None, tmp_path: Path
):
    (tmp_path / "p.json").write_text(json.dumps(document, indent=indent))
    assert read(tmp_path / "p.json") == [(1, BadRow(fault))]


@pytest.mark.parametrize(
    "row",
    [
        {"query": {"text": "a"}, "document": {"text": "b"}},
        {"messages": [{"role": "user", "content": "a"}]},
        {"id": 1, "title": "a", "sections": [{"heading": "b", "text": "c"}]},
        {"a": "b"},
        {},
    ],
)
def test_one_row_of_objects_and_lists_is_a_row(row: dict[str, Any], tmp_path: Path):
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    assert read(tmp_path / "p.jsonl") == [(1, row)]


def test_one_row_whose_columns_are_declared_is_a_row(tmp_path: Path):
    row = {"frage": {"de": "a"}, "antwort": {"de": "b"}}
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    assert read(tmp_path / "p.jsonl", columns=ColumnsConfig(query=("frage.de",))) == [(1, row)]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("{'query': 'SECRET'}", " Names and texts need double quotes, as json.dumps writes them."),
        ('{"query": "SECRET"},', " No comma stands between lines."),
    ],
)
def test_what_only_looks_like_json_lines_is_told_what_to_mend(
    line: str, advice: str, tmp_path: Path
):
    (tmp_path / "p.jsonl").write_text(f"{line}\n{line}\n")
    faults = [row.fault for _, row in read(tmp_path / "p.jsonl")]
    assert [
        fault.startswith("not valid JSON at column ") and fault.endswith(advice) for fault in faults
    ] == [True] * 2
