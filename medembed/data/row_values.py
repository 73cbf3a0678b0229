"""A value inside a source row: by name, by path through objects, by heading of a section."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from medembed.data.column_names import either, language_of
from medembed.data.rows import Fields
from medembed.language import to_translate, tr

_HEADINGS = ("heading", "title", "name", "section", "label")
_BODIES = ("text", "body", "content", "contents")
_TYPES = {
    bool: to_translate("a truth value"),
    int: to_translate("a number"),
    float: to_translate("a number"),
    list: to_translate("a list"),
    dict: to_translate("an object"),
}
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_LONGEST_TAG = 40
_DECIMAL = re.compile(r"\s*[-+]?\d*([.,])\d+\s*")


def value_at(fields: Fields, path: str) -> Any:
    """Return what stands at a path, such as "answer.text" or "sections.Treatment", or None."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            value = _in_list(value, step)
        else:
            return None
    return value


def texts_at(fields: Fields, paths: Sequence[str], role: str, join: str) -> list[str]:
    """Return the texts at the paths: the items of one list, or several fields joined to one text.

    Empty where nothing is there or all of it is blank. Raises ValueError for what is no text.
    """
    items = value_at(fields, paths[0]) if len(paths) == 1 else None
    if isinstance(items, list):
        return [_check_text(item, paths[0], role) for item in items if item is not None]
    texts: list[str] = []
    for path in paths:
        value = value_at(fields, path)
        if value is not None:
            texts.append(_check_text(value, path, role))
    joined = join.join(text for text in texts if text.strip())
    return [joined] if texts else []


def objects_at(fields: Fields, paths: Sequence[str]) -> list[Fields] | None:
    """Return the objects of the one list that all paths lead into, as in "passages.text".

    None if there is no such list. Raises ValueError if it holds anything else beside them.
    """
    lists = {path.rpartition(".")[0] for path in paths}
    if len(lists) != 1 or "" in lists or any(path in fields for path in paths):
        return None
    (path,) = lists
    items = value_at(fields, path)
    if not isinstance(items, list):
        return None
    items = [item for item in items if item is not None]
    objects = [item for item in items if isinstance(item, dict)]
    names = {path.rpartition(".")[2] for path in paths}
    if objects and not any(names & item.keys() for item in objects):
        return None
    if len(objects) < len(items):
        raise ValueError(
            tr(
                "{path!r} is a list of {count} items, {objects} of them objects; expected all.",
                path=path,
                count=len(items),
                objects=len(objects),
            )
        )
    return objects


def key_at(fields: Fields, paths: Sequence[str]) -> str | None:
    """Return the first id or other short value as a string in NFC, so that ids of macOS are those
    of others; None without one. Raises ValueError.
    """
    values = (value_at(fields, path) for path in paths)
    value = next((value for value in values if value is not None), "")
    if value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # what a column of integers becomes in pandas as soon as one is missing
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(
            tr(
                "{path!r} is {type}; expected a string or an integer.",
                path=paths[0],
                type=_type(value),
            )
        )
    return unicodedata.normalize("NFC", valid_text(str(value), paths[0]))


def keys_at(fields: Fields, paths: Sequence[str]) -> list[str]:
    """Return the ids of a list, or the one id. Raises ValueError for what is no id."""
    values = [value_at(fields, path) for path in paths]
    value = next((value for value in values if value is not None), None)
    items = value if isinstance(value, list) else [value]
    keys = [key_at({paths[0]: item}, paths[:1]) for item in items] if paths else []
    return [key for key in keys if key is not None]


def language_at(fields: Fields, paths: Sequence[str]) -> str | None:
    """Return a language's code, "fr" for FR and français too.

    Raises ValueError for anything else, as reports show it.
    """
    value = key_at(fields, paths)
    value = language_of(value or "") or value
    if value is not None and not _LANGUAGE.fullmatch(value):
        raise ValueError(
            tr("{path!r} holds no language code such as en, fr or pt-BR.", path=paths[0])
        )
    return value


def tags_at(fields: Fields, paths: Sequence[str]) -> tuple[str, ...]:
    """Return tags of several fields, lists flattened.

    Raises ValueError for a text: reports name tags.
    """
    tags: list[str] = []
    for path in paths:
        value = value_at(fields, path)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str | int) and str(item).strip():
                tags.append(valid_text(str(item), paths[0]))
    longest = max(tags, key=len, default="")
    if len(longest) > _LONGEST_TAG:
        raise ValueError(
            tr(
                "a tag in {columns} has {count} characters, at most {most} fit: it names a kind of "
                "query in metrics and reports, so tag by a column of kinds, not of texts.",
                columns=either(paths),
                count=len(longest),
                most=_LONGEST_TAG,
            )
        )
    return tuple(tags)


def decimal_sign(value: Any) -> str | None:
    """Return the comma or point of a number that is written with one, as in a cell; else None."""
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def sections_of(text: str) -> list[tuple[str, str]]:
    """Return (heading, text) of a Markdown text; before the first heading that is ""."""
    parts = re.split(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", text, flags=re.MULTILINE)
    headings = ["", *parts[1::2]]
    sections = zip(headings, parts[0::2], strict=True)
    return [(heading, body) for heading, body in sections if body.strip()]


def _in_list(items: list[Any], step: str) -> Any:
    """Return the values of objects with this field, or the text of the section so headed."""
    rows = [item for item in items if isinstance(item, dict)]
    values = [row[step] for row in rows if step in row]
    if values:
        return values
    for row in rows:
        if any(row.get(name) == step for name in _HEADINGS):
            return next((row[name] for name in _BODIES if name in row), None)
    return None


def _check_text(value: Any, path: str, role: str) -> str:
    if isinstance(value, dict):
        raise ValueError(
            tr(
                "{path!r} is an object; name a field in it for the {role}, e.g. {path}.text.",
                path=path,
                role=role,
            )
        )
    if not isinstance(value, str):
        raise ValueError(
            tr(
                "{path!r} is {type}; expected text for the {role}.",
                path=path,
                type=_type(value),
                role=role,
            )
        )
    return valid_text(value, path)


def valid_text(text: str, path: str) -> str:
    """Return the text as it is. Raises ValueError if it cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            tr("{path!r} holds half of a surrogate pair; expected valid Unicode.", path=path)
        ) from None
    return text


def _type(value: Any) -> str:
    """Return a value's type with its article, for a message."""
    name = _TYPES.get(type(value))
    return tr(name) if name else tr("a {type}", type=type(value).__name__)
