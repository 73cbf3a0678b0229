"""First pass, one part per call: rows -> clean texts with the keys by which they are compared,
staged as Parquet.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.data.cleaning import clean_text, fault_of
from medembed.data.columns import LateColumns
from medembed.data.config import SourceConfig
from medembed.data.files import locate, read_part
from medembed.data.grown import DATASET, read_again
from medembed.data.language import detect_language
from medembed.data.mapping import Mapping, beir_mapping
from medembed.data.ontology import read_ontology
from medembed.data.parts import Part
from medembed.data.rows import BadRow, Document, Query, Record
from medembed.data.shapes import to_record
from medembed.errors import DataError
from medembed.privacy import show_id
from medembed.schema import CHUNK_MARK, content_hash
from medembed.spelling import both_keys

_KEYS = [
    ("id", pa.string()),
    ("content", pa.string()),
    ("spelling", pa.string()),
    ("words", pa.string()),
]
_TEXT = [
    ("text", pa.string()),
    ("language", pa.string()),
    ("group", pa.string()),
    ("split", pa.string()),
]
DOCUMENTS = pa.schema([*_KEYS, *_TEXT, ("label", pa.string()), ("line", pa.int64())])
QUERIES = pa.schema([*_KEYS, *_TEXT, ("tags", pa.list_(pa.string())), ("line", pa.int64())])
JUDGMENTS = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("score", pa.float32()),
        ("similarity", pa.float32()),
        ("split", pa.string()),
        ("line", pa.int64()),
    ]
)
SCHEMAS = {"documents": DOCUMENTS, "queries": QUERIES, "judgments": JUDGMENTS}
_BYTES_PER_FILE = 16 << 20  # what a worker holds at a time
_BYTES_PER_ROW = 500  # of keys beside a text, about
PLACES_KEPT = 20


@dataclass
class _Batch:
    """Staged rows that are not yet written."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in SCHEMAS}
    )
    size: int = 0


@dataclass
class _Noted:
    """What is said of a part beside its rows: what was left out, where bad rows stand, columns that
    came late.
    """

    dropped: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    late: dict[str, int] = field(default_factory=dict)


class StagePart:
    """Turns {number, part} into {number, files, rows, dropped, bad, late}. A class, as `spread`
    wants it.

    `late` are columns that the part's mapping does not know.
    """

    def __init__(
        self, source: SourceConfig, mappings: dict[str, Mapping | None], staging: str
    ) -> None:
        self.source, self.mappings, self.staging = source, mappings, staging

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        part = Part(**item["part"])
        noted = _Noted()
        files: list[str] = []
        batch = _Batch()
        rows = 0
        for line, record in self._records(part, noted):
            rows += 1
            noted.dropped.update(record.dropped)
            self._stage(record, line, batch, noted.dropped)
            if batch.size > _BYTES_PER_FILE:
                files.append(self._write(batch, item["number"], len(files)))
                batch = _Batch()
        files.append(self._write(batch, item["number"], len(files)))
        return {
            "number": item["number"],
            "files": files,
            "rows": rows,
            "dropped": [{"rule": rule, "count": count} for rule, count in noted.dropped.items()],
            "bad": noted.bad,
            "late": [{"column": name, "line": line} for name, line in noted.late.items()],
        }

    def _records(self, part: Part, noted: _Noted) -> Iterator[tuple[int, Record]]:
        """The part's records with their lines. Raises DataError for a bad row, or counts it."""
        if part.format == "ontology":
            yield from enumerate(read_ontology(part.uri, self.source), start=1)
            return
        if part.format == DATASET:
            yield from enumerate(read_again(part), start=1)
            return
        mapping = self.mappings.get(part.uri) or beir_mapping(part.kind, self.source)
        late = LateColumns(mapping, part, self.source)
        noted.late = late.lines
        for line, fields in read_part(part, self.source):
            try:
                if isinstance(fields, BadRow):
                    raise ValueError(fields.fault)
                late.check(fields, line)
                record = to_record(fields, mapping, self.source, part.split)
                check_ids(record)
                yield line, record
            except ValueError as fault:
                what = (
                    f"{locate(part, line)}: "
                    f"{fault}{'' if isinstance(fields, BadRow) else late.describe(fields)}"
                )
                if not self.source.skip_bad_rows:
                    raise DataError(
                        f"{what} Fix it, or leave such rows out with source.skip_bad_rows=true."
                    ) from None
                noted.dropped["malformed row"] += 1
                if len(noted.bad) < PLACES_KEPT:
                    noted.bad.append(what)

    def _stage(self, record: Record, line: int, batch: _Batch, dropped: Counter[str]) -> None:
        documents = [self._keep(row, "document", line, batch, dropped) for row in record.documents]
        queries = [self._keep(row, "query", line, batch, dropped) for row in record.queries]
        judged = batch.rows["judgments"]
        for row in record.judgments:
            query_id, document_id = queries[row.query], documents[row.document]
            if query_id is None or document_id is None:
                dropped["judgment of a text that was left out"] += 1
                continue
            judged.append(
                {
                    "query_id": query_id,
                    "document_id": document_id,
                    "score": row.score,
                    "similarity": row.similarity,
                    "line": line,
                }
            )
        batch.size += _BYTES_PER_ROW * (len(record.judgments) + len(record.qrels))
        judged.extend(
            {
                "query_id": row.query_id,
                "document_id": row.document_id,
                "score": row.score,
                "similarity": row.similarity,
                "split": row.split,
                "line": line,
            }
            for row in record.qrels
        )

    def _keep(
        self, row: Document | Query, kind: str, line: int, batch: _Batch, dropped: Counter[str]
    ) -> str | None:
        """Stages one text and returns its id; None if a rule leaves it out."""
        text = clean_text(row.text)
        fault = fault_of(text, self.source.max_characters)
        if fault is not None:
            dropped[f"{fault} {kind}"] += 1
            return None
        content = content_hash(text)
        if isinstance(row, Document):
            name = row.document_id or f"d-{content[:16]}"
            own: dict[str, Any] = {"label": row.label}
            rows = batch.rows["documents"]
        else:
            name = row.query_id or f"q-{content[:16]}"
            own = {"tags": list(row.tags)}
            rows = batch.rows["queries"]
        language = row.language or detect_language(text, self.source.languages)
        spelling, words = both_keys(text)
        rows.append(
            {
                "id": name,
                "content": content,
                "spelling": content_hash(spelling),
                "words": content_hash(words),
                "text": text,
                "language": language,
                "group": row.group,
                "split": row.split,
                "line": line,
                **own,
            }
        )
        batch.size += len(text) + _BYTES_PER_ROW
        return name

    def _write(self, batch: _Batch, number: int, position: int) -> str:
        """Writes a batch's three tables; returns the name that they share."""
        name = f"{number:05d}-{position:04d}"
        for kind, schema in SCHEMAS.items():
            table = pa.Table.from_pylist(batch.rows[kind], schema=schema)
            storage.write_parquet(storage.join(self.staging, kind, f"{name}.parquet"), table)
        return name


def check_ids(record: Record) -> None:
    """Raises ValueError if a document id would pass for a chunk's."""
    for row in record.documents:
        if row.document_id and CHUNK_MARK in row.document_id:
            raise ValueError(
                f"document id {show_id(row.document_id)!r} holds {CHUNK_MARK!r}, which marks "
                "chunks; rename it."
            )
