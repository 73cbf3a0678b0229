"""JSONL pairs -> rows: one object a line with a query and the document that answers it."""

import json
from collections.abc import Mapping
from typing import Any

from medembed import storage
from medembed.data.config import SourceConfig
from medembed.data.rows import Document, Dropped, Judgment, Query, Row, Rows
from medembed.errors import DataError
from medembed.schema import content_hash

QUERY_NAMES = ("query", "anchor", "question", "sentence_0")
DOCUMENT_NAMES = ("document", "positive", "answer", "passage", "sentence_1")


def read_pairs(source: SourceConfig) -> Rows:
    """Rows of a JSONL file of pairs; a text met twice keeps one id, so a query can have several positives.

    Optional fields: query_id, document_id, group_id (default: the document's id), language.
    Raises DataError naming file and line, never the text, unless `skip_bad_rows` counts such rows.
    """
    known: dict[str, str] = {}
    for number, line in enumerate(storage.read_bytes(source.path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield from _parse(line, source, known)
        except ValueError as error:
            if not source.skip_bad_rows:
                raise DataError(
                    f"{source.path}:{number}: {error} Fix it, or leave such rows out with source.skip_bad_rows=true."
                ) from None
            yield Dropped("malformed row")


def _parse(line: bytes, source: SourceConfig, known: dict[str, str]) -> list[Row]:
    """The rows of one line. Raises ValueError with the fault; `known` remembers which text an id stands for."""
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start} of the line.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON at column {error.colno}: {error.msg}.") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}.")
    query, document = _text(row, "query", QUERY_NAMES), _text(row, "document", DOCUMENT_NAMES)
    language = _optional(row, "language") or source.language
    document_id = _optional(row, "document_id") or f"d-{content_hash(document)[:16]}"
    query_id = _optional(row, "query_id") or f"q-{content_hash(query)[:16]}"
    for kind, name, text in (("document_id", document_id, document), ("query_id", query_id, query)):
        if known.setdefault(f"{kind} {name}", content_hash(text)) != content_hash(text):
            raise ValueError(f"{kind} {name!r} stands for another text further up; give it an id of its own.")
    group_id = _optional(row, "group_id") or document_id
    return [
        Document(document_id, document, language),
        Query(query_id, query, language, group_id),
        Judgment(query_id, document_id),
    ]


def _text(row: Mapping[str, Any], name: str, accepted: tuple[str, ...]) -> str:
    for key in accepted:
        if key in row:
            value = row[key]
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"missing or empty {key!r}; a pair needs a query and a document text.")
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError(f"{key!r} holds half of a surrogate pair; expected valid Unicode.")
            return value
    raise ValueError(f"no {name}; accepted names: {', '.join(accepted)}.")


def _optional(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str | int):
        raise ValueError(f"{name!r} is a {type(value).__name__}; expected a string or an integer.")
    return str(value)
