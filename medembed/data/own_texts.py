"""Rows of one's own files, part by part: their ids, and their texts as `prepare` cleans and hashes them."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from medembed import storage
from medembed.config import Config
from medembed.data.cleaning import clean_text
from medembed.data.config import Fields, Quoting, SourceConfig
from medembed.data.fields import key_at, valid_text, value_at
from medembed.data.files import locate, read_part
from medembed.data.finish import ROWS_PER_FILE
from medembed.data.mapping import NAMES
from medembed.data.parts import Part
from medembed.data.rows import BadRow, Document, Record
from medembed.data.rows import Fields as Row
from medembed.data.stage import check_ids
from medembed.errors import DataError
from medembed.schema import content_hash

KEYS = ["document_id", "content_hash", "line"]
_TEXTS = pa.schema([(name, pa.string()) for name in ("document_id", "text", "content_hash")] + [("line", pa.int64())])
_ACCEPTED = {"id": NAMES["own_id"], "text": NAMES["text"]}
_ROWS_LOOKED_AT = 100  # for the names of columns: JSON rows may lack some
_BYTES_PER_FILE = 16 << 20
_LONGEST_NAME = 40


class TextColumns(Config):
    """Which columns of files of one's own mean what; empty: found by the names in use."""

    id: Fields = Field(
        default=(), description=f"files of your own: column of the id; else {', '.join(NAMES['own_id'])}"
    )
    text: Fields = Field(
        default=(),
        description="files of your own: column of the text, or several to join, e.g. [title,body]; else text",
    )
    quoting: Quoting = "auto"


def choose_columns(parts: Sequence[Part], source: SourceConfig, columns: TextColumns) -> TextColumns:
    """The columns as declared, or by the names in use. Raises DataError that lists what the first rows have."""
    rows = (row for part in parts for _, row in read_part(part, source) if not isinstance(row, BadRow))
    names = list(dict.fromkeys(name for row in itertools.islice(rows, _ROWS_LOOKED_AT) for name in row))
    chosen: dict[str, tuple[str, ...]] = {}
    for role, accepted in _ACCEPTED.items():
        declared: tuple[str, ...] = getattr(columns, role)
        absent = [path for path in declared if path not in names and path.split(".")[0] not in names]
        known = {name.lower(): name for name in reversed(names)}
        chosen[role] = declared or tuple(known[name] for name in accepted if name in known)[:1]
        if names and (absent or not chosen[role]):
            what = (
                f"columns.{role} names {absent[0]!r}" if absent else f"no column for the {role} ({', '.join(accepted)})"
            )
            raise DataError(f"{source.path}: {what}; found {_shown(names)}. Name yours: columns.{role}=...")
    return TextColumns(**chosen, quoting=columns.quoting)


class CopyTexts:
    """Turns {number, part} into {number, files: [{name, rows}], nameless, first_nameless, empty}.

    The files hold document_id, the clean text, content_hash and the line in the part; rows without an id and empty
    texts are counted. Raises DataError for a row that cannot be read.
    """

    def __init__(self, source: SourceConfig, columns: TextColumns, texts: str) -> None:
        self.source, self.columns, self.texts = source, columns, texts

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        part, first_nameless = Part(**item["part"]), ""
        nameless, empty, size = 0, 0, 0
        files: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        for line, fields in read_part(part, self.source):
            name, text = self._read(part, line, fields)
            if name is None:
                nameless, first_nameless = nameless + 1, first_nameless or locate(part, line)
            elif not text:
                empty += 1
            else:
                rows.append({"document_id": name, "text": text, "content_hash": content_hash(text), "line": line})
                size += len(text)
            if len(rows) >= ROWS_PER_FILE or size > _BYTES_PER_FILE:
                files.append(self._write(rows, item["number"], len(files)))
                rows, size = [], 0
        if rows:
            files.append(self._write(rows, item["number"], len(files)))
        return {"number": item["number"], "files": files, "nameless": nameless, "first_nameless": first_nameless,
                "empty": empty}  # fmt: skip

    def _read(self, part: Part, line: int, fields: Row | BadRow) -> tuple[str | None, str]:
        """(id or None, clean text) of a row."""
        try:
            if isinstance(fields, BadRow):
                raise ValueError(fields.fault)
            name = key_at(fields, self.columns.id)
            text = clean_text(" ".join(_text_at(fields, path) for path in self.columns.text))
            check_ids(Record((Document(text, name),)))
        except ValueError as fault:
            raise DataError(f"{locate(part, line)}: {fault}") from None
        return name, text

    def _write(self, rows: list[dict[str, Any]], number: int, position: int) -> dict[str, Any]:
        name = f"{number:05d}-{position:05d}.parquet"
        storage.write_parquet(storage.join(self.texts, name), pa.Table.from_pylist(rows, schema=_TEXTS))
        return {"name": name, "rows": len(rows)}


class DropRows:
    """Writes {number, file, target, drop}: the target has the file's rows without those at these places."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        rows = storage.read_parquet(item["file"])
        keep = np.setdiff1d(np.arange(rows.num_rows), np.asarray(item["drop"], dtype=np.int64))
        storage.write_parquet(item["target"], rows.take(pa.array(keep)))
        return {"number": item["number"]}


def _text_at(fields: Row, path: str) -> str:
    value = value_at(fields, path)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path!r} is a {type(value).__name__}; expected text: columns.text=... names another column.")
    return valid_text(value, path)


def _shown(names: Sequence[str]) -> str:
    """Names of columns for a message; a long one may be a text, as where a header is missing."""
    short = [name if len(name) <= _LONGEST_NAME and name.isprintable() else "(a long name)" for name in names]
    return ", ".join(short[:20])
