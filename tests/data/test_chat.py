"""Rows as OpenAI's fine-tuning has them."""

from typing import Any

import pytest

from medembed.data.config import ColumnsConfig, SourceConfig
from medembed.data.mapping import Mapping, find_mapping
from medembed.data.parse import to_record
from medembed.data.rows import Document, Judgment, Query, Record


def chat(row: dict[str, Any], **settings: Any) -> Record:
    source = SourceConfig(path="p", **settings)
    return to_record(row, Mapping("chat", source.columns), source)


def _read(row: dict[str, Any], **settings: Any) -> Record:
    """The record of a row by the columns that are found."""
    source = SourceConfig(path="p", **settings)
    return to_record(row, find_mapping(list(row), source), source)


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_a_chat_keeps_its_group_split_language_and_tags():
    row = {
        "messages": [turn("user", "q"), turn("assistant", "a")],
        "group_id": 3,
        "split": "test",
        "lang": "fr",
        "ward": "x",
    }
    assert _read(row, columns=ColumnsConfig(tags="ward")) == Record(
        (Document("a", language="fr"),),
        (Query("q", None, "fr", ("x",), "3", "test"),),
        (Judgment(0, 0),),
    )


def test_every_answer_of_a_chat_is_a_document_for_the_question_before_it():
    messages = [
        turn("system", "Be kind."),
        turn("user", "q1"),
        turn("assistant", "a1"),
        turn("user", "q2"),
        turn("assistant", "a2"),
        turn("user", "q3"),
    ]
    assert chat({"messages": messages}, document_language="en", query_language="fr") == Record(
        (Document("a1", language="en"), Document("a2", language="en")),
        (Query("q1", language="fr"), Query("q2", language="fr")),
        (Judgment(0, 0), Judgment(1, 1)),
    )


def test_answers_of_weight_0_are_left_out_and_contents_in_parts_joined():
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "here"},
    ]
    messages = [
        turn("user", "q1"),
        turn("assistant", "a1", weight=0),
        turn("user", parts),
        turn("assistant", "a2", weight=1),
    ]
    record = chat({"messages": messages, "input": "none of ours"})
    assert (record.documents, record.queries) == ((Document("a2"),), (Query("look here"),))


def test_a_preferred_answer_is_a_positive_and_the_other_a_negative():
    row = {
        "input": {
            "messages": [turn("user", "first"), turn("assistant", "yes?"), turn("user", "q")],
            "tools": [],
        },
        "preferred_output": [turn("assistant", "good")],
        "non_preferred_output": [turn("assistant", "bad")],
        "thread": "t1",
        "part": "val",
    }
    assert chat(row, columns=ColumnsConfig(group="thread", split="part")) == Record(
        (Document("good"), Document("bad")),
        (Query("q", group="t1", split="dev"),),
        (Judgment(0, 0, 1.0), Judgment(0, 1, 0.0)),
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"messages": []},
            "no user message followed by an assistant's; expected messages with role and content.",
        ),
        (
            {"messages": "hello"},
            "no user message followed by an assistant's; expected messages with",
        ),
        (
            {"messages": [turn("assistant", "a"), turn("user", "q")]},
            "no user message followed by an assistant's",
        ),
        (
            {"input": "q", "preferred_output": [turn("assistant", "a")]},
            "no user message; expected messages with",
        ),
        (
            {"input": {"messages": [turn("user", "q")]}, "preferred_output": []},
            "no assistant message; expected messages with role and content.",
        ),
    ],
)
def test_a_chat_that_is_none_is_at_fault(row: dict[str, Any], expected: str):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        chat(row)
    assert str(caught.value).startswith(expected)
