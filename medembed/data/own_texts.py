"""Rows of one's own files, part by part: their ids, and their texts as `prepare` cleans and hashes
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from medembed import storage
from medembed.config import Config
from medembed.data.cleaning import clean_text
from medembed.data.column_names import (
    NAMES,
    OWN_TEXTS,
    are_known,
    ask_for_header,
    explain_absent,
    show_columns,
)
from medembed.data.columns import Seen, look
from medembed.data.config import Fields, Quoting, SourceConfig
from medembed.data.fields import key_at, valid_text, value_at
from medembed.data.files import TABLES, locate, read_part
from medembed.data.finish import ROWS_PER_FILE
from medembed.data.parts import Part, Source
from medembed.data.rows import BadRow, Document, Record
from medembed.data.rows import Fields as Row
from medembed.data.stage import check_ids
from medembed.errors import DataError
from medembed.schema import content_hash

KEYS = ["document_id", "content_hash", "line"]
_TEXTS = pa.schema(
    [(name, pa.string()) for name in ("document_id", "text", "content_hash")]
    + [("line", pa.int64())]
)
_ACCEPTED = {"id": NAMES["own_id"], "text": NAMES["text"]}
_BYTES_PER_FILE = 16 << 20


class TextColumns(Config):
    """Which columns of files of one's own mean what; empty: found by the names in use."""

    id: Fields = Field(
        default=(),
        description=f"files of your own: column of the id; else {', '.join(NAMES['own_id'])}",
    )
    text: Fields = Field(
        default=(),
        description="files of your own: column of the text, or several to join, e.g. "
        "[title,body]; else text",
    )
    header: bool = Field(
        default=True,
        description="CSV and TSV of your own: whether the first row names the columns; false: "
        "they are 1, 2, ...",
    )
    quoting: Quoting = "auto"


@dataclass(frozen=True)
class Chosen:
    """The columns of id and text, which of the two were found by their names, and all names in the
    first rows.
    """

    columns: TextColumns
    by_name: tuple[str, ...]
    names: tuple[str, ...]


def choose_columns(found: Source, source: SourceConfig, columns: TextColumns) -> Chosen:
    """Return the columns as declared, or by the names in use. Raises DataError that lists what the
    first rows have.
    """
    if not columns.header and found.format not in TABLES:
        raise DataError(
            f"{source.path}: columns.header=false is for CSV and TSV; found {found.format}."
        )
    seen = look(found.parts, source, [*columns.id, *columns.text])
    is_header = found.format in TABLES and columns.header
    chosen = TextColumns(
        id=_choose("id", seen, source, columns.id, is_header=is_header),
        text=_choose("text", seen, source, columns.text, is_header=is_header),
        header=columns.header,
        quoting=columns.quoting,
    )
    return Chosen(
        chosen, tuple(role for role in _ACCEPTED if not getattr(columns, role)), seen.names
    )


def _choose(
    role: str, seen: Seen, source: SourceConfig, declared: tuple[str, ...], *, is_header: bool
) -> tuple[str, ...]:
    absent = [path for path in declared if path in seen.absent]
    if absent and seen.names:
        fault = explain_absent(role, absent[0], seen.names, OWN_TEXTS, is_header=is_header)
        raise DataError(f"{source.path}: {fault} Name yours: columns.{role}=...")
    if declared or not seen.names:
        return declared
    chosen = _by_name(role, seen.names)
    if chosen:
        return chosen
    if is_header and not are_known(seen.names):
        asked = ask_for_header(seen.names, OWN_TEXTS)
        raise DataError(f"{source.path}: {asked} If there is, name yours: columns.{role}=...")
    raise DataError(
        f"{source.path}: no column for the {role} ({', '.join(_ACCEPTED[role])}); found "
        f"{show_columns(seen.names, is_header=is_header)}. Name yours: columns.{role}=..."
    )


def _by_name(role: str, names: Sequence[str]) -> tuple[str, ...]:
    known = {name.lower(): name for name in reversed(names)}
    return tuple(known[name] for name in _ACCEPTED[role] if name in known)[:1]


class CopyTexts:
    """Turns {number, part} into {number, files: [{name, rows}], nameless, first_nameless, empty}.

    The files hold document_id, the clean text, content_hash and the line in the part; rows without
    an id and empty texts are counted. Raises DataError for a row that cannot be read, or that has
    columns which the first rows lack and no text, or an id or text by a likelier name.
    """

    def __init__(self, source: SourceConfig, chosen: Chosen, texts: str) -> None:
        self.source, self.columns, self.texts = source, chosen.columns, texts
        self.chosen = chosen
        self.known = frozenset(chosen.names)

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
                rows.append(
                    {
                        "document_id": name,
                        "text": text,
                        "content_hash": content_hash(text),
                        "line": line,
                    }
                )
                size += len(text)
            if len(rows) >= ROWS_PER_FILE or size > _BYTES_PER_FILE:
                files.append(self._write(rows, item["number"], len(files)))
                rows, size = [], 0
        if rows:
            files.append(self._write(rows, item["number"], len(files)))
        return {
            "number": item["number"],
            "files": files,
            "nameless": nameless,
            "first_nameless": first_nameless,
            "empty": empty,
        }

    def _read(self, part: Part, line: int, fields: Row | BadRow) -> tuple[str | None, str]:
        """(id or None, clean text) of a row."""
        try:
            if isinstance(fields, BadRow):
                raise ValueError(fields.fault)
            if not self.known.issuperset(fields):
                self._check_late(fields)
            name = key_at(fields, self.columns.id)
            text = clean_text(" ".join(_text_at(fields, path) for path in self.columns.text))
            check_ids(Record((Document(text, name),)))
        except ValueError as fault:
            raise DataError(f"{locate(part, line)}: {fault}") from None
        return name, text

    def _check_late(self, fields: Row) -> None:
        """Raises ValueError if columns that the first rows lack may be what the id or the text is
        in.
        """
        late = [name for name in fields if name not in self.known]
        for role in self.chosen.by_name:
            paths = getattr(self.columns, role)
            is_absent = all(value_at(fields, path) is None for path in paths)
            if is_absent or _by_name(role, [*self.chosen.names, *late]) != paths:
                raise ValueError(
                    "the row has columns that the first rows lack: "
                    f"{show_columns(late, is_header=False)}; in those the {role} is "
                    f"{' + '.join(paths)}. Say which it is: columns.{role}=..., several if rows "
                    "differ."
                )

    def _write(self, rows: list[dict[str, Any]], number: int, position: int) -> dict[str, Any]:
        name = f"{number:05d}-{position:05d}.parquet"
        storage.write_parquet(
            storage.join(self.texts, name), pa.Table.from_pylist(rows, schema=_TEXTS)
        )
        return {"name": name, "rows": len(rows)}


class DropRows:
    """Writes {number, file, target, drop}: the target has the file's rows without those at these
    places.
    """

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
        raise ValueError(
            f"{path!r} is a {type(value).__name__}; expected text: columns.text=... names "
            "another column."
        )
    return valid_text(value, path)
