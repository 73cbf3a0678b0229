"""Rows as users really hand them in: a fault names its place and what to do, or is a counted
drop.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medembed.data.config import ColumnsConfig
from medembed.privacy import show_id
from tests.data.attempts import OTHER, PAIR, fail, succeed

SCORED = b'{"query": "SECRET question", "document": "SECRET answer", "score": %s}\n'
CHAT = b'{"messages": [{"role": "user", "content": "SECRET q"}, {"role": "assistant", "content": "SECRET a"}]}\n'
SKIP = " Fix it, or leave such rows out with source.skip_bad_rows=true."


# (name of the file, its bytes, line of the bad row, start of the fault)
ROW_FAULTS = {
    "Latin-1 in JSONL": (
        "p.jsonl",
        PAIR + '{"query": "SECRET fièvre", "document": "d"}\n'.encode("latin-1"),
        2,
        (
            "not UTF-8 at byte 20 of the line; looks like WINDOWS-1252: convert the file: iconv "
            "-f WINDOWS-1252 -t UTF-8."
        ),
    ),
    "Latin-1 in CSV": (
        "p.csv",
        "query,document\nSECRET q,SECRET d\nSECRET fièvre,d\n".encode("latin-1"),
        3,
        "not UTF-8; looks like WINDOWS-1252: convert the file: iconv -f WINDOWS-1252 -t UTF-8.",
    ),
    "a raw NUL in JSONL": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET \0", "document": "d"}\n',
        2,
        "not valid JSON at column 19: Invalid control character at.",
    ),
    "half of a surrogate pair": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET \\ud800", "document": "d"}\n',
        2,
        "'query' holds half of a surrogate pair; expected valid Unicode.",
    ),
    "half of a surrogate pair in a chat": (
        "p.jsonl",
        CHAT + CHAT.replace(b"SECRET a", b"SECRET \\udfff"),
        2,
        "'content' holds half of a surrogate pair; expected valid Unicode.",
    ),
    "half of a surrogate pair in an id": (
        "p.jsonl",
        PAIR + b'{"query": "q", "document": "d", "document_id": "SECRET \\ud800"}\n',
        2,
        "'document_id' holds half of a surrogate pair; expected valid Unicode.",
    ),
    "cut JSON": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET question", \n' + OTHER,
        2,
        "not valid JSON at column 30: ",
    ),
    "an array where an object belongs": (
        "p.jsonl",
        PAIR + b'["SECRET question", "SECRET answer"]\n',
        2,
        (
            "expected a JSON object, found list. Expected one object a line, as jq -c '.[]' "
            "writes them."
        ),
    ),
    "JSON nested without end": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET", "document": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        2,
        "JSON nested too deeply.",
    ),
    "JSON nested deeply": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET", "document": ' + b"[" * 900 + b'"SECRET"' + b"]" * 900 + b"}\n",
        2,
        "'document' is a list; expected text for the document.",
    ),
    "an object where text belongs": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET q", "document": {"text": "SECRET d"}}\n',
        2,
        "'document' is an object; name a field in it, e.g. source.columns.document=document.text.",
    ),
    "a number where text belongs": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET q", "document": 42}\n',
        2,
        "'document' is a number; expected text for the document.",
    ),
    "a truth value where text belongs": (
        "p.jsonl",
        PAIR + b'{"query": true, "document": "SECRET d"}\n',
        2,
        "'query' is a truth value; expected text for the query.",
    ),
    "several queries in a row": (
        "p.jsonl",
        PAIR + b'{"query": ["SECRET q", "SECRET r"], "document": "d"}\n',
        2,
        "'query' is a list of 2; a row has one query.",
    ),
    "several documents under one score": (
        "p.jsonl",
        SCORED % b"1" + b'{"query": "SECRET q", "document": ["SECRET d", "e"], "score": 1}\n',
        2,
        "'document' is a list of 2; a row has one document.",
    ),
    "a field that one row lacks": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET q"}\n',
        2,
        "no document: expected 'document'.",
    ),
    "a score that is no number": (
        "p.jsonl",
        SCORED % b"1" + SCORED % b'"high"',
        2,
        "'score' is not a number.",
    ),
    "a score that is a truth value": (
        "p.jsonl",
        SCORED % b"1" + SCORED % b"true",
        2,
        "'score' is not a number.",
    ),
    "a score of NaN": (
        "p.jsonl",
        SCORED % b"1" + SCORED % b"NaN",
        2,
        "'score' is not a finite number.",
    ),
    "an infinite score": (
        "p.jsonl",
        SCORED % b"1" + SCORED % b"-Infinity",
        2,
        "'score' is not a finite number.",
    ),
    "a score too large for a float": (
        "p.jsonl",
        SCORED % b"1" + SCORED % (b"9" * 400),
        2,
        "'score' is not a number.",
    ),
    "a number of 5,000 digits": (
        "p.jsonl",
        SCORED % b"1" + SCORED % (b"9" * 5000),
        2,
        "holds a number of thousands of digits.",
    ),
    "a score outside its range": (
        "p.jsonl",
        SCORED % b"1" + SCORED % b"4.5",
        2,
        "score 4.5 is outside 0 to 1; name the scale, e.g. source.score_range=[0,5], or set "
        "source.shape=pairs if it is no similarity.",
    ),
    "an id that is a list": (
        "p.jsonl",
        PAIR + b'{"query": "q", "document": "d", "query_id": ["SECRET"]}\n',
        2,
        "'query_id' is a list; expected a string or an integer.",
    ),
    "an id that looks like a chunk's": (
        "p.jsonl",
        PAIR + b'{"query": "q", "document": "d", "document_id": "7#chunk-1"}\n',
        2,
        "document id '7#chunk-1' holds '#chunk-', which marks chunks; rename it.",
    ),
    "an unknown split": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET q", "document": "SECRET d", "split": "holdout"}\n',
        2,
        "'split' is no split; expected train, dev (validation) or test.",
    ),
    "a text where the split belongs": (
        "p.jsonl",
        PAIR + b'{"query": "q", "document": "d", "split": "SECRET text of a patient"}\n',
        2,
        "'split' is no split; expected train, dev (validation) or test.",
    ),
    "a row without its class": (
        "c.jsonl",
        b'{"text": "SECRET a", "label": "x"}\n{"text": "SECRET b", "label": null}\n',
        2,
        "missing or empty 'label'; a text needs its class.",
    ),
    "a chat without an answer": (
        "p.jsonl",
        CHAT + b'{"messages": [{"role": "user", "content": "SECRET q"}]}\n',
        2,
        "no user message followed by an assistant's; expected messages with role and content.",
    ),
    "a CSV row with too few cells": (
        "p.csv",
        b"query,document\nSECRET q,SECRET d\nSECRET q\nr,s\n",
        3,
        "found 1 cells, expected 2 as in the header.",
    ),
    "a CSV row with too many cells, after one over two lines": (
        "p.csv",
        b'query,document\n"SECRET\nq",SECRET d\nSECRET q,SECRET, d\n',
        4,
        "found 3 cells, expected 2 as in the header.",
    ),
}


@pytest.mark.parametrize("case", ROW_FAULTS.values(), ids=ROW_FAULTS)
def test_a_bad_row_is_an_error_that_names_it_or_a_counted_drop(
    case: tuple[str, bytes, int, str], tmp_path: Path
):
    name, content, line, fault = case
    path = tmp_path / name
    path.write_bytes(content)
    message = str(fail(path, tmp_path / "out"))
    assert message.startswith(f"{path}:{line}: {fault}")
    assert message.endswith(SKIP)
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped["malformed row"] == 1
    assert manifest.bad_rows == (message.removesuffix(SKIP),)
    assert manifest.rows_read >= 1


def long_line(size: int) -> bytes:
    return b'{"query": "q", "document": "SECRET ' + b"word " * (size // 5) + b'"}\n'


# What is odd but clear: (name, bytes, settings, documents, queries, what is counted as dropped)
ODD: dict[str, tuple[str, bytes, dict[str, Any], int, int, dict[str, int]]] = {
    "a byte order mark in JSONL": ("p.jsonl", b"\xef\xbb\xbf" + PAIR + OTHER, {}, 2, 2, {}),
    "a byte order mark in CSV": (
        "p.csv",
        b"\xef\xbb\xbfquery,document\nSECRET q,SECRET d\n",
        {},
        1,
        1,
        {},
    ),
    "a byte order mark before quotes": (
        "p.csv",
        b'\xef\xbb\xbf"query","document"\n"q","SECRET d"\n',
        {},
        1,
        1,
        {},
    ),
    "CRLF in JSONL": ("p.jsonl", (PAIR + OTHER).replace(b"\n", b"\r\n"), {}, 2, 2, {}),
    "CRLF in CSV": ("p.csv", b"query,document\r\nSECRET q,SECRET d\r\nr,e\r\n", {}, 2, 2, {}),
    "blank lines between rows": ("p.jsonl", b"\n" + PAIR + b"\n  \n" + OTHER + b"\n", {}, 2, 2, {}),
    "blank lines between CSV rows": (
        "p.csv",
        b"\nquery,document\n\nSECRET q,SECRET d\n\r\nr,e",
        {},
        2,
        2,
        {},
    ),
    "the index that pandas writes": (
        "p.csv",
        b",query,document\n0,SECRET q,SECRET d\n1,r,e\n",
        {},
        2,
        2,
        {},
    ),
    "spaces in a CSV header": ("p.csv", b"query , document\nSECRET q,SECRET d\n", {}, 1, 1, {}),
    "commas in the names between semicolons": (
        "p.csv",
        b'"query";"note, one, two, three"\n"SECRET q";"SECRET d"\n',
        {"columns": ColumnsConfig(document=("note, one, two, three",))},
        1,
        1,
        {},
    ),
    "an escaped NUL": (
        "p.jsonl",
        PAIR + b'{"query": "SECRET\\u0000q", "document": "SECRET d"}\n',
        {},
        2,
        2,
        {},
    ),
    "a raw NUL in CSV": ("p.csv", b"query,document\nSECRET\0q,SECRET d\n", {}, 1, 1, {}),
    "a text of NULs alone": (
        "p.jsonl",
        PAIR + b'{"query": "\\u0000 \\u0000", "document": "SECRET d"}\n',
        {},
        2,
        1,
        {"empty query": 1, "judgment of a text that was left out": 1},
    ),
    "null and blank texts": (
        "p.jsonl",
        PAIR + b'{"query": "q", "document": null}\n{"query": " ", "document": "SECRET d"}\n',
        {},
        2,
        1,
        {
            "empty query": 1,
            "empty document": 1,
            "judgment of a text that was left out": 2,
            "query without a positive": 1,
        },
    ),
    "a line of 10 MB": (
        "p.jsonl",
        PAIR + long_line(10_000_000) + OTHER,
        {},
        2,
        2,
        {
            "over-long document": 1,
            "judgment of a text that was left out": 1,
            "query without a positive": 1,
        },
    ),
    "a line of 10 MB at the end of a CSV": (
        "p.csv",
        b"query,document\nq,d\nr,SECRET " + b"word " * 2_000_000,
        {},
        1,
        1,
        {
            "over-long document": 1,
            "judgment of a text that was left out": 1,
            "query without a positive": 1,
        },
    ),
    "a list of one query": (
        "p.jsonl",
        b'{"query": ["SECRET q"], "document": "SECRET d"}\n',
        {},
        1,
        1,
        {},
    ),
    "rows repeated": ("p.jsonl", PAIR + PAIR + OTHER, {}, 2, 2, {"judgment repeated": 1}),
    "an integer id that pandas made a float": (
        "p.jsonl",
        PAIR[:-2] + b', "document_id": 7.0}\n' + OTHER[:-2] + b', "document_id": 8}\n',
        {},
        2,
        2,
        {},
    ),
    "an empty gzip file": (
        "p.jsonl.gz",
        gzip.compress(PAIR) + gzip.compress(b"") + gzip.compress(OTHER),
        {},
        2,
        2,
        {},
    ),
}


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_what_is_odd_but_clear_is_read_and_what_is_left_out_is_counted(
    case: tuple[str, bytes, dict[str, Any], int, int, dict[str, int]], tmp_path: Path
):
    name, content, settings, documents, queries, dropped = case
    (tmp_path / name).write_bytes(content)
    manifest = succeed(tmp_path / name, tmp_path / "out", **settings)
    assert {kind: manifest.counts[kind] for kind in ("documents", "queries")} == {
        "documents": documents,
        "queries": queries,
    }
    assert manifest.dropped == dropped
    assert manifest.bad_rows == ()


@pytest.mark.parametrize("kind", ["document", "query"])
def test_one_id_with_two_texts_is_an_error_with_both_places_or_a_counted_drop(
    kind: str, tmp_path: Path
):
    rows = [json.loads(row) | {f"{kind}_id": "x1"} for row in (PAIR, OTHER)]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    error = fail(path, tmp_path / "out")
    assert str(error).startswith(
        f"{path}:2: {kind} id 'x1' stands for another text in {path}:1 (1 such rows in all); "
    )
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped[f"{kind} id that stands for two texts"] == 1


def test_what_only_malformed_rows_are_left_of_is_an_error(tmp_path: Path):
    (tmp_path / "p.jsonl").write_bytes(b'{"query": "SECRET", "document": 5}\n' * 3)
    error = fail(tmp_path / "p.jsonl", tmp_path / "out", skip_bad_rows=True)
    assert "no usable row found" in str(error)


def test_places_of_bad_rows_are_kept_up_to_a_limit_while_all_are_counted(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(PAIR + b'{"query": "SECRET"}\n' * 50)
    manifest = succeed(path, tmp_path / "out", skip_bad_rows=True)
    assert manifest.dropped == {"malformed row": 50}
    assert [place.split(": ")[0] for place in manifest.bad_rows] == [
        f"{path}:{line}" for line in range(2, 22)
    ]


def test_an_id_that_is_a_text_is_not_shown(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    rows = [json.loads(row) | {"document_id": "SECRET of a patient"} for row in (PAIR, OTHER)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert f"document id {show_id('SECRET of a patient')!r} stands for another text" in str(
        fail(path, tmp_path / "out")
    )
    path.write_text(json.dumps(rows[0] | {"document_id": "SECRET x#chunk-1"}) + "\n")
    assert f"document id {show_id('SECRET x#chunk-1')!r} holds '#chunk-'" in str(
        fail(path, tmp_path / "out")
    )
