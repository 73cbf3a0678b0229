"""Rows -> clean rows: Unicode NFC and single spaces; empty and repeated ones left out, each rule counted."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeVar

from medembed.data.rows import Document, Dropped, Judgment, Query, Rows
from medembed.errors import DataError
from medembed.schema import content_hash

TextRow = TypeVar("TextRow", Document, Query)


@dataclass
class CleanRows:
    """Distinct rows by id, and how many were dropped by which rule."""

    documents: dict[str, Document] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    judgments: dict[tuple[str, str], Judgment] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def clean_text(text: str) -> str:
    """NFC, so that an accent has one spelling; control characters and runs of white space become one space."""
    spaced = "".join(" " if unicodedata.category(c) == "Cc" else c for c in unicodedata.normalize("NFC", text))
    return re.sub(r"\s+", " ", spaced).strip()


def clean(rows: Rows) -> CleanRows:
    """Clean rows. Documents with the same text become one, and their judgments follow it.

    Raises DataError when one id stands for two texts.
    """
    kept = CleanRows()
    same_text: dict[str, str] = {}
    alias: dict[str, str] = {}
    for row in rows:
        match row:
            case Dropped():
                kept.dropped[row.reason] += 1
            case Document():
                text = clean_text(row.text)
                first = same_text.setdefault(content_hash(text), row.document_id)
                alias[row.document_id] = first
                if first != row.document_id:
                    kept.dropped["document text repeated under another id"] += row.document_id not in kept.documents
                _add(kept.documents, first, replace(row, document_id=first, text=text), "document", kept.dropped)
            case Query():
                _add(kept.queries, row.query_id, replace(row, text=clean_text(row.text)), "query", kept.dropped)
            case Judgment():
                kept.judgments[row.query_id, row.document_id] = row
    kept.judgments = {
        (query_id, alias.get(document_id, document_id)): replace(row, document_id=alias.get(document_id, document_id))
        for (query_id, document_id), row in kept.judgments.items()
    }
    _drop_unusable(kept)
    return kept


def _add(rows: dict[str, TextRow], key: str, row: TextRow, kind: str, dropped: Counter[str]) -> None:
    if not row.text:
        dropped[f"empty {kind}"] += 1
    elif key not in rows:
        rows[key] = row
    elif rows[key].text != row.text:
        raise DataError(f"{kind} id {key!r} stands for two different texts; give each text an id of its own.")


def _drop_unusable(kept: CleanRows) -> None:
    """Judgments that name an absent row go, then queries that no document answers."""
    usable = {
        pair: row
        for pair, row in kept.judgments.items()
        if row.query_id in kept.queries and row.document_id in kept.documents
    }
    kept.dropped["judgment of an absent row"] += len(kept.judgments) - len(usable)
    answered = {row.query_id for row in usable.values() if row.score > 0}
    kept.dropped["query without a positive"] += len(kept.queries) - len(answered)
    kept.queries = {query_id: row for query_id, row in kept.queries.items() if query_id in answered}
    kept.judgments = {pair: row for pair, row in usable.items() if row.query_id in answered}
