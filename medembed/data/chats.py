"""Rows of OpenAI's fine-tuning files -> records: what users asked and what was answered."""

import itertools
from typing import Any

from medembed.data.row_values import valid_text
from medembed.data.rows import Document, Fields, Judgment, Query, Record
from medembed.data.shapes import Row
from medembed.language import tr


def chat(row: Row) -> Record:
    """Return user messages with the assistant's answers, preferred answers before others."""
    if "preferred_output" in row.fields:
        return _preference(row)
    messages = _objects(row.fields.get("messages"))
    documents: list[Document] = []
    queries: list[Query] = []
    for asked, answer in itertools.pairwise(messages):
        roles = (_text(asked, "role"), _text(answer, "role"))
        if roles == ("user", "assistant") and answer.get("weight", 1):
            queries.append(row.query(_text(asked, "content")))
            documents.append(row.answer(_text(answer, "content")))
    if not queries:
        raise ValueError(
            tr(
                "no user message followed by an assistant's; expected messages with role and "
                "content."
            )
        )
    judgments = tuple(Judgment(number, number) for number in range(len(queries)))
    return Record(tuple(documents), tuple(queries), judgments)


def _preference(row: Row) -> Record:
    request = row.fields.get("input")
    asked = _last(request.get("messages") if isinstance(request, dict) else None, "user")
    preferred = _last(row.fields.get("preferred_output"), "assistant")
    other = _last(row.fields.get("non_preferred_output"), "assistant")
    documents = (row.answer(preferred), row.answer(other))
    return Record(documents, (row.query(asked),), (Judgment(0, 0, 1.0), Judgment(0, 1, 0.0)))


def _last(messages: Any, role: str) -> str:
    """Return the content of the last message of a role."""
    contents = [_text(of, "content") for of in _objects(messages) if _text(of, "role") == role]
    if not contents:
        raise ValueError(
            tr("no {role} message; expected messages with role and content.", role=role)
        )
    return contents[-1]


def _text(message: Fields, key: str) -> str:
    """Return a message's role or content; content in parts is joined from its text parts."""
    value = message.get(key)
    if isinstance(value, list):
        texts = [part.get("text") for part in _objects(value)]
        value = " ".join(text for text in texts if isinstance(text, str))
    return valid_text(value, key) if isinstance(value, str) else ""


def _objects(value: Any) -> list[Fields]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
