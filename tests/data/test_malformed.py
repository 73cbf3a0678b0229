"""Rows as users really hand them in: a fault names its place and what to do, or is a counted drop."""

import gzip
import json
from pathlib import Path

import pytest

from medembed.data.reading import ColumnsConfig
from medembed.privacy import show_id
from tests.data.attempts import OTHER, PAIR, fail, succeed

# Several gzip members; without the time, since it is part of a test's name.
PACKED = b"".join(gzip.compress(rows, mtime=0) for rows in (PAIR, b"", OTHER))
SKIP = " Fix it, or leave such rows out with source.skip_bad_rows=true."
LATIN = (
    "not UTF-8 at byte 20 of the line; looks like Windows-1252: set source.encoding=Windows-1252 "
)
# The second row of JSON lines -> the start of its fault.
BAD_ROWS = [
    ('{"query": "SECRET fièvre", "document": "d"}'.encode("latin-1"), LATIN),
    (b'{"query": "SECRET \0", "document": "d"}', "not valid JSON at column 19: Invalid control"),
    (b'{"query": "SECRET \\ud800", "document": "d"}', "'query' holds half of a surrogate pair;"),
    (b'{"query": "SECRET question", ', "not valid JSON at column 30: "),
    (b'["SECRET question", "SECRET answer"]', "expected a JSON object, found list. Expected one"),
    (b'{"document": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON nested too deeply."),
    (b'{"query": "q", "document": ' + b"9" * 5000 + b"}", "holds a number of thousands of digits."),
    (b'{"query": "q", "document": {"text": "SECRET"}}', "'document' is an object; name a field"),
    (b'{"query": ["SECRET q", "SECRET r"], "document": "d"}', "'query' is a list of 2; a row has"),
    (b'{"query": "SECRET q"}', "no document: expected 'document'."),
    (b'{"query": "q", "document": "d", "query_id": ["SECRET"]}', "'query_id' is a list; expected"),
    (b'{"query": "q", "document": "d", "document_id": "7#chunk-1"}', "document id '7#chunk-1' hol"),
    (
        b'{"query": "q", "document": "d", "document_id": "SECRET x#chunk-1"}',
        f"document id {show_id('SECRET x#chunk-1')!r} holds '#chunk-'",
    ),
    (b'{"query": "q", "document": "d", "split": "SECRET text"}', "'split' is no split; expected"),
]
BAD_CELLS = [  # a CSV, the line of its bad row, the start of the fault
    (b"query,document\n\xc3\xa9,d\n\xc3\xa0,d\nSECRET \xe9,d\n", 4, "not UTF-8, as the file is"),
    (b"query,document\nq,d\nSECRET q\nr,s\n", 3, "found 1 cells, expected 2 as in the header."),
    (b'query,document\n"SECRET\nq",d\nSECRET q,SECRET, d\n', 4, "found 3 cells, expected 2 as in"),
]
ROW_FAULTS = [("p.jsonl", PAIR + row + b"\n" + OTHER, 2, fault) for row, fault in BAD_ROWS]
ROW_FAULTS += [("p.csv", *case) for case in BAD_CELLS]


@pytest.mark.parametrize("case", ROW_FAULTS, ids=lambda case: case[3][:30])
def test_a_bad_row_is_an_error_that_names_it_or_a_counted_drop(
    case: tuple[str, bytes, int, str], tmp_path: Path
):
    name, content, line, fault = case
    path = tmp_path / name
    path.write_bytes(content)
    message = fail(path, tmp_path / "out")
    assert message.startswith(f"{path}:{line}: {fault}")
    assert message.endswith(SKIP)
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped["malformed row"] == 1
    assert manifest.bad_rows == (message.removesuffix(SKIP),)
    assert manifest.rows_read >= 1


LONG = b'{"query": "q", "document": "SECRET ' + b"word " * 2_000_000 + b'"}\n'
NULLS = b'{"query": "q", "document": null}\n{"query": " ", "document": "SECRET d"}\n'
LEFT_OUT = "judgment of a text that was left out"
EMPTY = {"empty query": 1, "empty document": 1, LEFT_OUT: 2}
LOST = {LEFT_OUT: 1, "query without a positive": 1}
# What is odd but clear: name, bytes, documents, queries, what is counted as dropped.
ODD = [
    ("p.jsonl", b"\xef\xbb\xbf" + PAIR + OTHER, 2, 2, {}),
    ("p.csv", b"\xef\xbb\xbfquery,document\nSECRET q,SECRET d\n", 1, 1, {}),
    ("p.csv", b'\xef\xbb\xbf"query","document"\n"q","SECRET d"\n', 1, 1, {}),
    ("p.jsonl", (PAIR + OTHER).replace(b"\n", b"\r\n"), 2, 2, {}),
    ("p.csv", b"query,document\r\nSECRET q,SECRET d\r\nr,e\r\n", 2, 2, {}),
    ("p.jsonl", b"\n" + PAIR + b"\n  \n" + OTHER + b"\n", 2, 2, {}),
    ("p.csv", b"\nquery,document\n\nSECRET q,SECRET d\n\r\nr,e", 2, 2, {}),
    ("p.csv", b",query,document\n0,SECRET q,SECRET d\n1,r,e\n", 2, 2, {}),
    ("p.csv", b"query , document\nSECRET q,SECRET d\n", 1, 1, {}),
    ("p.csv", b'"query";"document";"a, b, c, d"\n"SECRET q";"SECRET d";"x"\n', 1, 1, {}),
    ("p.csv", b"query,document\nSECRET\0q,SECRET d\n", 1, 1, {}),
    (
        "p.jsonl",
        PAIR + OTHER.replace(b"SECRET other", b"\\u0000"),
        2,
        1,
        {"empty query": 1, LEFT_OUT: 1},
    ),
    ("p.jsonl", PAIR + NULLS, 2, 1, {**EMPTY, "query without a positive": 1}),
    ("p.jsonl", PAIR + LONG + OTHER, 2, 2, {"over-long document": 1, **LOST}),
    (
        "p.csv",
        b"query,document\nq,d\nr,SECRET " + b"word " * 2_000_000,
        1,
        1,
        {"over-long document": 1, **LOST},
    ),
    ("p.jsonl", b'{"query": ["SECRET q"], "document": "SECRET d"}\n', 1, 1, {}),
    ("p.jsonl", PAIR + PAIR + OTHER, 2, 2, {"judgment repeated": 1}),
    ("p.jsonl", PAIR[:-2] + b', "document_id": 7.0}\n', 1, 1, {}),
    ("p.jsonl.gz", PACKED, 2, 2, {}),
]


@pytest.mark.parametrize("case", ODD, ids=lambda case: str(case[1][:30]))
def test_what_is_odd_but_clear_is_read_and_what_is_left_out_is_counted(
    case: tuple[str, bytes, int, int, dict[str, int]], tmp_path: Path
):
    name, content, documents, queries, dropped = case
    (tmp_path / name).write_bytes(content)
    manifest = succeed(tmp_path / name, tmp_path / "out")
    assert (manifest.counts["documents"], manifest.counts["queries"]) == (documents, queries)
    assert manifest.dropped == dropped
    assert manifest.bad_rows == ()


@pytest.mark.parametrize("kind", ["document", "query"])
def test_one_id_with_two_texts_is_an_error_with_both_places_or_a_counted_drop(
    kind: str, tmp_path: Path
):
    path = tmp_path / "p.jsonl"
    for name, shown in (("x1", "x1"), ("SECRET of a patient", show_id("SECRET of a patient"))):
        rows = [json.loads(row) | {f"{kind}_id": name} for row in (PAIR, OTHER)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert fail(path, tmp_path / "out").startswith(
            f"{path}:2: {kind} id {shown!r} stands for another text in {path}:1 (1 such rows in all); "
        )
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped[f"{kind} id that stands for two texts"] == 1


def test_what_only_malformed_rows_are_left_of_is_an_error(tmp_path: Path):
    (tmp_path / "p.jsonl").write_bytes(b'{"query": "SECRET", "document": 5}\n' * 3)
    error = fail(tmp_path / "p.jsonl", tmp_path / "out", skip_bad_rows=True)
    assert "no usable row found" in error


def test_places_of_bad_rows_are_kept_up_to_a_limit_while_all_are_counted(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(PAIR + b'{"query": "SECRET"}\n' * 50)
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped == {"malformed row": 50}
    places = [bad_row.split(": ")[0] for bad_row in manifest.bad_rows]
    assert places == [f"{path}:{line}" for line in range(2, 22)]


def test_names_with_commas_between_semicolons_can_be_declared(tmp_path: Path):
    (tmp_path / "p.csv").write_bytes(b'"query";"note, one, two, three"\n"SECRET q";"SECRET d"\n')
    columns = ColumnsConfig(document=("note, one, two, three",))
    assert succeed(tmp_path / "p.csv", tmp_path / "out", columns=columns).counts["queries"] == 1
