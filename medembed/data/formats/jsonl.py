"""JSON -> rows: an object a line, or one array of objects."""

import json
from dataclasses import replace
from typing import Any

from medembed import storage
from medembed.data.column_names import is_known
from medembed.data.formats.encodings import UTF8
from medembed.data.formats.files import is_gzip
from medembed.data.formats.format import Format, Part
from medembed.data.formats.lines import LONGEST_LINE, TextFile
from medembed.data.reading import AUTO, ReadingConfig
from medembed.data.rows import BadRow, Fields, Rows
from medembed.language import to_translate, tr

PART_BYTES = 16 << 20
_TAIL_BYTES = 1 << 20  # of a file, which hold its last line
# what Python's json says, in its words
_JSON_FAULTS = (
    to_translate("Expecting value"),
    to_translate("Expecting ',' delimiter"),
    to_translate("Expecting ':' delimiter"),
    to_translate("Expecting property name enclosed in double quotes"),
    to_translate("Extra data"),
    to_translate("Invalid \\escape"),
    to_translate("Invalid \\uXXXX escape"),
    to_translate("Invalid control character at"),
    to_translate("Unterminated string starting at"),
)
_BY_JQ = to_translate(" Expected one object a line, as jq -c '.[]' writes them.")


def read_json(part: Part, source: ReadingConfig) -> Rows:
    """Yield the rows of JSON lines, or of an array of up to 64 MiB; else one fault with advice."""
    with TextFile(part.uri, part.encoding) as file:
        is_whole = part.start == 0 and part.end is None
        whole = _read_whole(file) if is_whole else None
        fault = _explain_object(whole, source) if isinstance(whole, dict) else None
        if isinstance(whole, list):
            yield from enumerate(map(_as_row, whole), start=1)
        elif fault is not None:
            yield 1, BadRow(fault)
        else:
            for number, line in file.lines(part.start, part.end):
                if isinstance(line, BadRow):
                    yield number, line
                elif line.strip():
                    yield number, _parse(line, file)


def _read_whole(file: TextFile) -> Any:
    """Return the one value of a file that is no JSON lines; None where it cannot be read as one."""
    is_array = file.begins_with(b"[")
    is_object = file.begins_with(b"{") and not _has_rows(file)
    if not is_array and not is_object:
        return None
    content = file.read(LONGEST_LINE + 1)
    try:
        return json.loads(content.decode("utf-8-sig")) if len(content) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None


def _has_rows(file: TextFile) -> bool:
    """Return whether the first line is a value by itself, and more lines follow."""
    filled = (line for _, line in file.lines() if isinstance(line, BadRow) or line.strip())
    first = next(filled, b"")
    if isinstance(first, BadRow) or isinstance(_parse(first, file), BadRow):
        return False
    return next(filled, None) is not None


def _parse(line: bytes, file: TextFile) -> Fields | BadRow:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(file.explain(line, tr(" at byte {byte} of the line", byte=error.start)))
    except json.JSONDecodeError as error:
        return BadRow(
            tr(
                "not valid JSON at column {column}: {error}.{advice}",
                column=error.colno,
                error=tr(error.msg),
                advice=_one_a_line(line),
            )
        )
    except ValueError:
        return BadRow(tr("holds a number of thousands of digits."))
    except RecursionError:
        return BadRow(tr("JSON nested too deeply."))
    return _as_row(row)


def _as_row(value: Any) -> Fields | BadRow:
    if isinstance(value, dict):
        return value
    advice = tr(_BY_JQ) if isinstance(value, list) else ""
    return BadRow(
        tr(
            "expected a JSON object, found {type}.{advice}",
            type=type(value).__name__,
            advice=advice,
        )
    )


def _one_a_line(line: bytes) -> str:
    """Return what to do about what only looks like JSON lines."""
    if line.lstrip().startswith(b"["):
        return tr(_BY_JQ)
    if line.strip() == b"{":
        return tr(" Expected one object a line, as jq -c . writes them.")
    if line.lstrip().startswith(b"{'"):
        return tr(" Names and texts need double quotes, as json.dumps writes them.")
    return tr(" No comma stands between lines.") if line.rstrip().endswith(b"},") else ""


def _explain_object(document: Fields, source: ReadingConfig) -> str | None:
    """Return what to do about a file of one object that holds rows; None if it is a row."""
    if _are_columns(document) or ("columns" in document and isinstance(document.get("data"), list)):
        return tr(
            "a table by columns. Expected one object a line: pandas writes them by "
            "to_json(orient='records', lines=True)."
        )
    declared = {path.split(".")[0] for path in source.columns.role_of}
    if any(name in declared or is_known(name) for name in document):
        return None
    if document and all(isinstance(value, dict) for value in document.values()):
        return tr(
            "one object of {count:,} objects. Expected one object a line: jq -c 'to_entries[] | "
            "{{id: .key}} + .value'.",
            count=len(document),
        )
    lists = [value for value in document.values() if value and isinstance(value, list)]
    if any(all(isinstance(item, dict) for item in value) for value in lists):
        return tr(
            "one object that has its rows in a list. Expected one object a line: jq -c "
            "'.[] | arrays[]'."
        )
    return None


def _are_columns(document: Fields) -> bool:
    """Return whether each value is {"0": ..., "1": ...}, as pandas writes a table."""
    return bool(document) and all(
        isinstance(value, dict) and value and all(key.isdecimal() for key in value)
        for value in document.values()
    )


def _cut(part: Part, size_bytes: int) -> list[Part]:
    """Return the file in pieces of bytes; whole if it is compressed, one array or recoded.

    JSON is UTF-8 by its own rules (RFC 8259), so other encodings are declared rather than found.
    """
    part = replace(part, encoding=UTF8 if part.encoding == AUTO else part.encoding)
    if is_gzip(part.uri) or size_bytes <= PART_BYTES:
        return [part]
    with TextFile(part.uri, part.encoding) as file:
        if file.begins_with(b"[") or file.is_recoded:
            return [part]
    return [
        replace(part, start=start, end=min(start + PART_BYTES, size_bytes))
        for start in range(0, size_bytes, PART_BYTES)
    ]


def _locate(part: Part, number: int) -> str:
    before = 0
    if part.start:
        # `TextFile.lines` starts one byte before the part and leaves out what follows up to a line
        # end, a line more.
        before = 1
        left = part.start - 1
        with storage.open_input(part.uri) as stream:
            while left > 0 and (block := stream.read(min(left, 1 << 20))):
                before += block.count(b"\n")
                left -= len(block)
    return f"{part.uri}:{before + number}"


def _why_incomplete(uri: str, source: ReadingConfig) -> str | None:
    with storage.open_input(uri) as stream:
        is_array = stream.read(1) == b"["
        size_bytes = stream.seek(0, 2)
        stream.seek(max(size_bytes - _TAIL_BYTES, 0))
        tail = stream.read()
    if is_array:
        return None if tail.rstrip().endswith(b"]") else tr("its array breaks off")
    if uri.lower().endswith(".json"):
        return None  # it may be an object over several lines, which its reader explains
    last_line = tail.rstrip().rpartition(b"\n")[2]
    if tail.endswith(b"\n") or len(last_line) >= _TAIL_BYTES - 1:
        return None
    try:
        json.loads(last_line)
    except ValueError:
        return tr("its last line breaks off")
    return None


JSONL = Format(
    name="jsonl",
    endings=(".jsonl", ".ndjson", ".json"),
    read_rows=read_json,
    cut=_cut,
    locate=_locate,
    why_incomplete=_why_incomplete,
)
