"""Rows as OpenAI's fine-tuning has them."""

from typing import Any

import pytest

from medembed.data.config import SourceConfig
from medembed.data.mapping import find_mapping
from medembed.data.parse import to_record
from medembed.data.reading import ColumnsConfig
from medembed.data.rows import Document, Judgment, Query, Record


def chat(row: dict[str, Any], **settings: Any) -> Record:
    source = SourceConfig(path="p", **settings)
    return to_record(row, find_mapping(["messages", *row], source), source)


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_every_answer_of_a_chat_is_a_document_for_the_question_before_it():
    turns = [turn("system", "Be kind."), turn("user", "q1"), turn("assistant", "a1")]
    turns += [turn("user", "q2"), turn("assistant", "a2"), turn("user", "q3")]
    row = {"messages": turns, "group_id": 3, "split": "test", "lang": "fr", "ward": "x"}
    asked = {"language": "fr", "tags": ("x",), "group": "3", "split": "test"}
    answer = {"language": "en", "group": "3"}
    assert chat(row, columns=ColumnsConfig(tags="ward"), document_language="en") == Record(
        (Document("a1", **answer), Document("a2", **answer)),
        (Query("q1", **asked), Query("q2", **asked)),
        (Judgment(0, 0), Judgment(1, 1)),
    )


def test_answers_of_weight_0_are_left_out_and_contents_in_parts_joined():
    texts = [{"type": "text", "text": "look"}, {"type": "text", "text": "here"}]
    messages = [turn("user", "q1"), turn("assistant", "a1", weight=0)]
    messages += [turn("user", [texts[0], {"type": "image_url", "image_url": {}}, texts[1]])]
    messages += [turn("assistant", "a2", weight=1)]
    record = chat({"messages": messages, "input": "none of ours"})
    assert (record.documents, record.queries) == ((Document("a2"),), (Query("look here"),))


def test_a_preferred_answer_is_a_positive_and_the_other_a_negative():
    row = {
        "input": {"messages": [turn("user", "first"), turn("assistant", "?"), turn("user", "q")]},
        "preferred_output": [turn("assistant", "good")],
        "non_preferred_output": [turn("assistant", "bad")],
        "thread": "t1",
        "part": "val",
    }
    assert chat(row, columns=ColumnsConfig(group="thread", split="part")) == Record(
        (Document("good", group="t1"), Document("bad", group="t1")),
        (Query("q", group="t1", split="dev"),),
        (Judgment(0, 0, 1.0), Judgment(0, 1, 0.0)),
    )


NO_PAIR = "no user message followed by an assistant's; expected messages with role and content."
ANSWER = [turn("assistant", "a")]
ASKED = {"messages": [turn("user", "q")]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": []}, NO_PAIR),
        ({"messages": "hello"}, NO_PAIR),
        ({"messages": [turn("assistant", "a"), turn("user", "q")]}, NO_PAIR),
        ({"input": "q", "preferred_output": ANSWER}, "no user message; expected messages with"),
        ({"input": ASKED, "preferred_output": []}, "no assistant message; expected messages with"),
        ({"messages": [turn("user", "q"), turn("assistant", "\ud800")]}, "'content' holds half"),
    ],
)
def test_a_chat_that_is_none_is_at_fault(row: dict[str, Any], expected: str):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        chat(row)
    assert str(caught.value).startswith(expected)
