"""First pass, one part per call: rows -> clean texts with keys to compare them, in Parquet."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.data.cleaning import clean_text, fault_of
from medembed.data.config import SourceConfig
from medembed.data.formats.beir import beir_mapping
from medembed.data.formats.format import Part
from medembed.data.formats.table import format_of
from medembed.data.language import guess_language, know_language
from medembed.data.mapping import Mapping, find_own_mapping
from medembed.data.parse import LateColumns, parse_part
from medembed.data.parts import locate
from medembed.data.rows import BadRow, Document, Query, Record
from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.schema import content_hash
from medembed.spelling import both_keys

_TEXT = [
    ("id", pa.string()),
    ("content", pa.string()),
    ("spelling", pa.string()),
    ("words", pa.string()),
    ("text", pa.string()),
    ("column", pa.string()),
    ("guesses", pa.string()),  # languages, the likeliest first
    ("group", pa.string()),
    ("split", pa.string()),
]
DOCUMENTS = pa.schema([*_TEXT, ("label", pa.string()), ("line", pa.int64())])
QUERIES = pa.schema([*_TEXT, ("tags", pa.list_(pa.string())), ("line", pa.int64())])
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
# rules that leave a text out, by fault and kind
_LEFT_OUT = {
    ("empty", "document"): to_translate("empty document"),
    ("empty", "query"): to_translate("empty query"),
    ("over-long", "document"): to_translate("over-long document"),
    ("over-long", "query"): to_translate("over-long query"),
}


class StagePart:
    """Turns {number, part} into {number, files, rows, dropped, languages, bad, late}, for `spread`.

    `files` are names that the three tables of staged rows share; `languages` {column, language,
    weight} are what the texts say of their columns; `bad` are the places of the first bad rows;
    `late` are columns that the first rows of the source lack and that say nothing.
    """

    def __init__(
        self, source: SourceConfig, mappings: dict[str, Mapping | None], staging: str
    ) -> None:
        self.source = source
        self.mappings = mappings
        self.staging = staging

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        part = Part(**item["part"])
        rows = _StagedRows(self.source)
        late = self._watch(part)
        files: list[str] = []
        count = 0
        for line, record in self._records(part, late):
            if isinstance(record, BadRow):
                rows.leave_out(tr("{place}: {fault}", place=locate(part, line), fault=record.fault))
                continue
            count += 1
            rows.add(record, line)
            if rows.size > _BYTES_PER_FILE:
                files.append(self._write(rows, item["number"], len(files)))
        files.append(self._write(rows, item["number"], len(files)))
        return {
            "number": item["number"],
            "files": files,
            "rows": count,
            "dropped": [{"rule": rule, "count": count} for rule, count in rows.dropped.items()],
            "languages": [
                {"column": column, "language": language, "weight": weight}
                for (column, language), weight in rows.languages.items()
            ],
            "bad": rows.bad,
            "late": late.unused if late else [],
        }

    def _watch(self, part: Part) -> LateColumns | None:
        mapping = self.mappings.get(part.uri)
        if mapping is None:
            return None
        return LateColumns(part, mapping, lambda names: find_own_mapping(names, self.source))

    def _records(
        self, part: Part, late: LateColumns | None
    ) -> Iterator[tuple[int, Record | BadRow]]:
        read_records = format_of(part).read_records
        if read_records is not None:
            return enumerate(read_records(part, self.source), start=1)
        mapping = late.mapping if late else beir_mapping(part.kind, self.source)
        return parse_part(part, self.source, mapping, late)

    def _write(self, rows: "_StagedRows", number: int, position: int) -> str:
        """Write the rows that wait, and return the name that their tables share."""
        name = f"{number:05d}-{position:04d}"
        for kind, table in rows.take().items():
            storage.write_parquet(storage.join(self.staging, kind, f"{name}.parquet"), table)
        return name


class _StagedRows:
    """Staged rows that wait to be written, and what was left out so far."""

    def __init__(self, source: SourceConfig) -> None:
        self.source = source
        self.dropped: Counter[str] = Counter()
        # weights of (column, language)
        self.languages: Counter[tuple[str, str]] = Counter()
        self.bad: list[str] = []
        self.rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in SCHEMAS}
        self.size = 0

    def take(self) -> dict[str, pa.Table]:
        """Return the rows that wait, by kind, and forget them."""
        tables: dict[str, pa.Table] = {}
        for kind, rows in self.rows.items():
            tables[kind] = pa.Table.from_pylist(rows, schema=SCHEMAS[kind])
            rows.clear()
        self.size = 0
        return tables

    def leave_out(self, fault: str) -> None:
        """Count a bad row. Raises DataError unless such rows are to be skipped."""
        if not self.source.skip_bad_rows:
            raise DataError(
                "{fault} Fix it, or leave such rows out with source.skip_bad_rows=true.",
                fault=fault,
            )
        self.dropped[to_translate("malformed row")] += 1
        if len(self.bad) < PLACES_KEPT:
            self.bad.append(fault)

    def add(self, record: Record, line: int) -> None:
        """Add what a row says, but for texts that a rule leaves out, and judgments of such."""
        self.dropped.update(record.dropped)
        documents = [self._add_text("document", row, line) for row in record.documents]
        queries = [self._add_text("query", row, line) for row in record.queries]
        for judgment in record.judgments:
            query_id = queries[judgment.query]
            named = judgment.document
            document_id = named if isinstance(named, str) else documents[named]
            if query_id is None or document_id is None:
                self.dropped[to_translate("judgment of a text that was left out")] += 1
                continue
            self._add_judgment(
                query_id=query_id,
                document_id=document_id,
                score=judgment.score,
                similarity=judgment.similarity,
                line=line,
            )
        for qrel in record.qrels:
            self._add_judgment(
                query_id=qrel.query_id,
                document_id=qrel.document_id,
                score=qrel.score,
                similarity=qrel.similarity,
                split=qrel.split,
                line=line,
            )

    def _add_judgment(self, **row: Any) -> None:
        self.rows["judgments"].append(row)
        self.size += _BYTES_PER_ROW

    def _add_text(self, kind: str, row: Document | Query, line: int) -> str | None:
        """Add one text and return its id; None if a rule leaves it out."""
        text = clean_text(row.text)
        fault = fault_of(text, self.source.max_characters)
        if fault is not None:
            self.dropped[_LEFT_OUT[fault, kind]] += 1
            return None
        content = content_hash(text)
        spelling, words = both_keys(text)
        column = row.column or kind
        if row.language is None:
            guess = guess_language(text, self.source.languages)
        else:
            guess = know_language(text, row.language)
        self.languages[column, guess.languages[0]] += guess.weight
        staged = {
            "content": content,
            "spelling": content_hash(spelling),
            "words": content_hash(words),
            "text": text,
            "column": column,
            "guesses": " ".join(guess.languages),
            "group": row.group,
            "split": row.split,
            "line": line,
        }
        if isinstance(row, Document):
            staged["id"] = row.document_id or f"d-{content[:16]}"
            self.rows["documents"].append({**staged, "label": row.label})
        else:
            staged["id"] = row.query_id or f"q-{content[:16]}"
            self.rows["queries"].append({**staged, "tags": list(row.tags)})
        self.size += len(text) + _BYTES_PER_ROW
        return str(staged["id"])
