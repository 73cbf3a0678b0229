"""Values inside a row, wherever tools put them."""

from typing import Any

import pytest

from medembed.data.row_values import key_at, language_at, sections_of, tags_at, texts_at, value_at

ROW: dict[str, Any] = {
    "a.b": "whole name",
    "a": {"b": "path", "c": {"d": 1}, "none": None},
    "answers": [{"text": "one", "start": 1}, {"text": "two"}, "three", {"start": 3}],
    "sections": [
        {"heading": "Causes", "text": "A virus."},
        {"title": "Treatment", "body": "Rest."},
        {"name": "Empty"},
        {"section": "Causes", "text": "Another."},
    ],
    "deep": {"list": [{"x": {"y": "z"}}]},
    "false": False,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", "whole name"),
        ("a.c.d", 1),
        ("a.c", {"d": 1}),
        ("a.none", None),
        ("a.none.more", None),
        ("absent", None),
        ("a.absent", None),
        ("a.c.d.e", None),
        ("answers.text", ["one", "two"]),
        ("answers.start", [1, 3]),
        ("answers.absent", None),
        ("sections.Causes", "A virus."),
        ("sections.Treatment", "Rest."),
        ("sections.Empty", None),
        ("deep.list.x", [{"y": "z"}]),
        ("deep.list.x.y", ["z"]),
        ("false", False),
    ],
)
def test_a_value_is_found_by_name_path_or_heading(path: str, value: Any):
    assert value_at(ROW, path) == value


@pytest.mark.parametrize(
    ("paths", "texts"),
    [
        (["answers.text"], ["one", "two"]),
        (["a.b"], ["whole name"]),
        (["a.b", "a.c.absent"], ["whole name"]),
        (["a.b", "sections.Treatment"], ["whole name|Rest."]),
        (["absent"], []),
        ([], []),
    ],
)
def test_the_items_of_one_list_are_texts_while_several_fields_make_one(
    paths: list[str], texts: list[str]
):
    assert texts_at(ROW, paths, "document", "|") == texts


def test_blank_texts_are_seen_as_such_and_left_out_of_joins():
    row = {"a": " ", "b": "b", "c": "", "list": ["", None, "x"]}
    assert texts_at(row, ["a"], "query", " ") == [""]
    assert texts_at(row, ["a", "b", "c"], "query", " ") == ["b"]
    assert texts_at(row, ["a", "c"], "query", " ") == [""]
    assert texts_at(row, ["list"], "query", " ") == ["", "x"]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (3, "'x' is a number; expected text for the query."),
        (0.5, "'x' is a number; expected text for the query."),
        (True, "'x' is a truth value; expected text for the query."),
        (b"t", "'x' is a bytes; expected text for the query."),
        ({"text": "t"}, "'x' is an object; name a field in it for the query, e.g. x.text."),
        ([["t"]], "'x' is a list; expected text for the query."),
        ([{"text": "t"}], "'x' is an object; name a field in it for the query, e.g. x.text."),
        ("\udcff", "'x' holds half of a surrogate pair; expected valid Unicode."),
        (["ok", "\ud800"], "'x' holds half of a surrogate pair; expected valid Unicode."),
    ],
)
def test_what_is_no_text_is_at_fault(value: Any, fault: str):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        texts_at({"x": value}, ["x"], "query", " ")
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("k", "k"),
        (" k ", " k "),
        (7, "7"),
        (0, "0"),
        (7.0, "7"),
        (2**70, str(2**70)),
        ("", None),
        (None, None),
    ],
)
def test_a_key_is_a_string_or_an_integer(value: Any, key: str | None):
    assert key_at({"x": value}, ["x"]) == key


@pytest.mark.parametrize(
    "value", [7.5, float("nan"), float("inf"), True, ["k"], {"k": 1}, "\ud800"]
)
def test_anything_else_is_no_key(value: Any):
    with pytest.raises(ValueError, match=r"^'x' (is a|holds half)"):
        key_at({"x": value}, ["x"])


def test_the_first_field_that_holds_a_key_gives_it():
    assert key_at({"b": "B", "c": "C"}, ["a", "b", "c"]) == "B"
    assert key_at({"a": {"b": 5}}, ["a.b"]) == "5"
    assert key_at({}, []) is None


def test_keys_are_gathered_from_values_and_lists():
    row = {"a": ["x", 1, None, "", " ", {"no": 1}], "b": "y", "c": None}
    assert tags_at(row, ["a", "b", "c", "absent"]) == ("x", "1", "y")
    with pytest.raises(ValueError, match="^'a' holds half of a surrogate pair"):
        tags_at({"a": ["\ud800"]}, ["a"])


def test_sections_have_their_heading_and_the_text_below_it():
    text = "Intro\n# One \nfirst\n\n## Two ##\nsecond # no heading\n#tag is none\n### Empty\n\n#### Last\nend"
    assert [(heading, body.strip()) for heading, body in sections_of(text)] == [
        ("", "Intro"),
        ("One", "first"),
        ("Two", "second # no heading\n#tag is none"),
        ("Last", "end"),
    ]
    assert sections_of("no heading") == [("", "no heading")]
    assert sections_of(" \n") == []


def test_a_text_is_no_tag_and_the_fault_does_not_quote_it():
    assert tags_at({"kind": "heart and vessels"}, ["kind"]) == ("heart and vessels",)
    with pytest.raises(
        ValueError, match="a tag in 'kind' has 47 characters, at most 40 fit"
    ) as caught:
        tags_at({"kind": ["lay", "Mrs Muster has had a headache since last Monday"]}, ["kind"])
    assert "Muster" not in str(caught.value)


@pytest.mark.parametrize("value", ["Mrs Muster", "spanish", "en or fr", "1", "SENTINEL-1"])
def test_a_language_is_a_code_and_the_fault_does_not_quote_what_is_none(value: str):
    with pytest.raises(ValueError, match="'lang' holds no language code") as caught:
        language_at({"lang": value}, ["lang"])
    assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["en", "fra", "pt-BR", "zh_Hant", "", None])
def test_a_code_with_or_without_a_region_is_a_language(value: str | None):
    assert language_at({"lang": value}, ["lang"]) == (value or None)


@pytest.mark.parametrize("value", ["FR", "français", "Français", "French"])
def test_a_language_may_be_written_in_capitals_or_by_its_name(value: str):
    assert language_at({"langue": value}, ["langue"]) == "fr"
