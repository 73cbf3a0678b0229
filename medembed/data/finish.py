"""Second pass, one part per call: staged texts and what was resolved about them -> the data set's
files.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from medembed import storage
from medembed.data.cleaning import chunk
from medembed.data.config import SourceConfig
from medembed.data.lengths import LengthSample
from medembed.schema import CHUNK_MARK, CORPUS, QUERIES, content_hash, fingerprint

ROWS_PER_FILE = 1024  # one file is one unit of work for an encoding worker: about 10 s on one core
LINES = {"documents": "document-lines", "queries": "query-lines"}
_FOLDERS = {"documents": ("corpus", CORPUS), "queries": ("queries", QUERIES)}


class FinishPart:
    """Turns {number, files} into {files: [{name, rows}], hashes, languages, lengths}."""

    def __init__(
        self, source: SourceConfig, staging: str, output: str, tokenizer: str | None, every: int
    ) -> None:
        self.source, self.staging, self.output = source, staging, output
        self.tokenizer, self.every = tokenizer, every

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"number": item["number"], "files": []}
        for kind, (folder, schema) in _FOLDERS.items():
            languages: Counter[str] = Counter()
            sample = LengthSample(self.tokenizer, self.every)
            total = 0
            for number, rows in enumerate(
                _blocks(self._rows(kind, item["files"], languages), ROWS_PER_FILE)
            ):
                table = pa.Table.from_pylist(rows, schema=schema)
                name = f"{folder}/part-{item['number']:05d}-{number:05d}.parquet"
                storage.write_parquet(storage.join(self.output, name), table)
                result["files"].append({"name": name, "rows": len(rows)})
                total = add_hashes(total, hash_rows(rows))
                for row in rows:
                    sample.add(row["text"])
            result |= {
                f"{kind}_hash": f"{total:064x}",
                f"{kind}_languages": [
                    {"language": name, "count": count} for name, count in languages.items()
                ],
                f"{kind}_lengths": sample.lengths,
            }
        return result

    def _rows(
        self, kind: str, files: list[str], languages: Counter[str]
    ) -> Iterator[dict[str, Any]]:
        for file in files:
            staged = storage.read_parquet(storage.join(self.staging, kind, f"{file}.parquet"))
            lines = storage.read_parquet(storage.join(self.staging, LINES[kind], f"{file}.parquet"))
            kept = lines["keep"]
            for row, line in zip(
                staged.filter(kept).to_pylist(), lines.filter(kept).to_pylist(), strict=True
            ):
                languages[row["language"]] += 1
                yield from (
                    self._documents(row, line) if kind == "documents" else [_query(row, line)]
                )

    def _documents(self, row: dict[str, Any], line: dict[str, Any]) -> Iterator[dict[str, Any]]:
        pieces = chunk(row["text"], self.source.chunk_words, self.source.chunk_overlap)
        for number, text in enumerate(pieces):
            yield {
                "document_id": row["id"]
                if len(pieces) == 1
                else f"{row['id']}{CHUNK_MARK}{number}",
                "text": text,
                "language": row["language"],
                "content_hash": row["content"] if len(pieces) == 1 else content_hash(text),
                "label": row["label"],
                "split": line["split"],
            }


def hash_rows(rows: list[dict[str, Any]]) -> int:
    """Of the rows as a set: sums of hashes do not depend on order, and can be added up over
    parts.
    """
    total = 0
    for row in rows:
        total = add_hashes(total, int(content_hash(fingerprint(row)), 16))
    return total


def add_hashes(one: int, other: int) -> int:
    """The hash of two sets of rows together."""
    return (one + other) % (1 << 256)


def _query(row: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_id": row["id"],
        "text": row["text"],
        "language": row["language"],
        "tags": line["tags"],
        "group_id": line["group_id"],
        "split": line["split"],
    }


def _blocks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
