"""Rows of one's own files: their ids, and their texts as `prepare` cleans and hashes them."""

from collections.abc import Sequence
from typing import Any

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
    first_known,
    show_columns,
)
from medembed.data.columns import check_header, look
from medembed.data.config import SourceConfig
from medembed.data.formats.format import CutSource, Part
from medembed.data.formats.table import FORMATS
from medembed.data.formats.text import TEXT
from medembed.data.mapping import Mapping
from medembed.data.parse import LateColumns, parse_part
from medembed.data.parts import locate
from medembed.data.reading import AUTO, ColumnsConfig, Encoding, Fields, Quoting
from medembed.data.rows import BadRow
from medembed.data.write_pass import ROWS_PER_FILE
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
    encoding: Encoding = AUTO


def choose_columns(cut_source: CutSource, source: SourceConfig, columns: TextColumns) -> Mapping:
    """Return the columns as declared, or by the names in use. Raises DataError that lists them."""
    if cut_source.format == TEXT.name and not columns.text:
        columns = columns.model_copy(update={"text": ("title", "text")})
    check_header(cut_source, source, OWN_TEXTS.header)
    seen = look(cut_source.parts, source, [*columns.id, *columns.text])
    is_header = FORMATS[cut_source.format].has_header and source.header
    for role, declared in (("id", columns.id), ("text", columns.text)):
        absent = [path for path in declared if path in seen.absent]
        if absent and seen.names:
            fault = explain_absent(role, absent[0], seen.names, OWN_TEXTS, is_header=is_header)
            raise DataError(
                "{path}: {fault} Name yours: columns.{role}=...",
                path=source.path,
                fault=fault,
                role=role,
            )
    return find_columns(seen.names, columns, source.path, is_header=is_header)


def find_columns(
    names: Sequence[str], columns: TextColumns, path: str, *, is_header: bool = False
) -> Mapping:
    """Return the mapping of rows with these columns; declared ones are taken as they are."""
    chosen: dict[str, tuple[str, ...]] = {}
    for role, accepted in _ACCEPTED.items():
        declared: tuple[str, ...] = getattr(columns, role)
        name = first_known(accepted, names)
        if declared or not names:
            chosen[role] = declared
        elif name is not None:
            chosen[role] = (name,)
        elif is_header and not are_known(names):
            asked = ask_for_header(names, OWN_TEXTS)
            raise DataError(
                "{path}: {asked} If there is, name yours: columns.{role}=...",
                path=path,
                asked=asked,
                role=role,
            )
        else:
            raise DataError(
                "{path}: no column for the {role} ({accepted}); found {columns}. Name "
                "yours: columns.{role}=...",
                path=path,
                role=role,
                accepted=", ".join(accepted),
                columns=show_columns(names, is_header=is_header),
            )
    are_declared = columns.id and columns.text
    fields = ColumnsConfig(document_id=chosen["id"], document=chosen["text"])
    return Mapping("texts", fields, () if are_declared else tuple(names), OWN_TEXTS)


class CopyTexts:
    """Turns {number, part} into {number, files: [{name, rows}], nameless, first_nameless, empty}.

    The files hold document_id, the clean text, content_hash and the line in the part; rows without
    an id and empty texts are counted. Raises DataError for a row that cannot be read, or that has
    columns which the first rows lack and no text, or an id or text by a likelier name.
    """

    def __init__(
        self, source: SourceConfig, columns: TextColumns, mapping: Mapping, texts: str
    ) -> None:
        self.source = source
        self.columns = columns
        self.mapping = mapping
        self.texts = texts

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        part = Part(**item["part"])
        late = None
        if self.mapping.names:
            late = LateColumns(
                part,
                self.mapping,
                lambda names: find_columns(names, self.columns, self.source.path),
            )
        result: dict[str, Any] = {
            "number": item["number"],
            "files": [],
            "nameless": 0,
            "first_nameless": "",
            "empty": 0,
        }
        rows: list[dict[str, Any]] = []
        size = 0
        for line, record in parse_part(part, self.source, self.mapping, late):
            if isinstance(record, BadRow):
                raise DataError("{place}: {fault}", place=locate(part, line), fault=record.fault)
            (document,) = record.documents
            text = clean_text(document.text)
            if document.document_id is None:
                result["nameless"] += 1
                result["first_nameless"] = result["first_nameless"] or locate(part, line)
            elif not text:
                result["empty"] += 1
            else:
                size += len(text)
                key = content_hash(text)
                row = (document.document_id, text, key, line)
                rows.append(dict(zip(_TEXTS.names, row, strict=True)))
            if len(rows) >= ROWS_PER_FILE or size > _BYTES_PER_FILE:
                self._write(rows, result)
                size = 0
        if rows:
            self._write(rows, result)
        return result

    def _write(self, rows: list[dict[str, Any]], result: dict[str, Any]) -> None:
        """Write the rows that wait as the next file of the part."""
        name = f"{result['number']:05d}-{len(result['files']):05d}.parquet"
        table = pa.Table.from_pylist(rows, schema=_TEXTS)
        storage.write_parquet(storage.join(self.texts, name), table)
        result["files"].append({"name": name, "rows": len(rows)})
        rows.clear()
