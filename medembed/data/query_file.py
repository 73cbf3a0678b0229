"""Queries that stand in a file of their own, to be asked rather than learnt from."""

import json
from typing import Any

from medembed import storage
from medembed.errors import DataError
from medembed.privacy import show_id

_TEXT_NAMES = ("query", "question", "text")
_ID_NAMES = ("query_id", "qid", "_id", "id")
_JSONL = (".jsonl", ".ndjson", ".json")


def read_queries(uri: str) -> dict[str, str]:
    """{id: text} of a file of queries, one a line; the id is the line's number unless a JSONL row has one.

    Raises DataError naming file and line, never the text.
    """
    try:
        lines = storage.read_bytes(uri).decode().removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{uri}: not UTF-8; convert the file, e.g. iconv -f WINDOWS-1252 -t UTF-8.") from None
    is_jsonl = uri.endswith(_JSONL)
    queries: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, text = _parse_query(line, f"{uri}:{number}") if is_jsonl else ("", line.strip())
        name = name or str(number)
        if name in queries:
            raise DataError(f"{uri}:{number}: query id {show_id(name)!r} stands twice; ids name one query each.")
        queries[name] = text
    if not queries:
        raise DataError(f"{uri}: no query there; expected one a line.")
    return queries


def _parse_query(line: str, location: str) -> tuple[str, str]:
    """(id or "", text) of a JSONL row."""
    try:
        row = json.loads(line)
    except ValueError:
        raise DataError(f"{location}: not valid JSON; expected an object with query, one a line.") from None
    fields: dict[str, Any] = row if isinstance(row, dict) else {}
    text = next((fields[name] for name in _TEXT_NAMES if name in fields), None)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{location}: missing or empty query; accepted names: {', '.join(_TEXT_NAMES)}.")
    name = next((fields[name] for name in _ID_NAMES if fields.get(name) is not None), "")
    return str(name), text.strip()
