"""Second pass, one part per call: staged texts that stay -> the data set's files."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
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
        self.source = source
        self.staging = staging
        self.output = output
        self.tokenizer = tokenizer
        self.every = every

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"number": item["number"], "files": []}
        for kind, (folder, schema) in _FOLDERS.items():
            languages: Counter[str] = Counter()
            sample = LengthSample(self.tokenizer, self.every)
            total = 0
            rows = self._rows(kind, item["files"], languages)
            for number, block in enumerate(in_blocks(rows, ROWS_PER_FILE)):
                name = f"{folder}/part-{item['number']:05d}-{number:05d}.parquet"
                table = pa.Table.from_pylist(block, schema=schema)
                storage.write_parquet(storage.join(self.output, name), table)
                result["files"].append({"name": name, "rows": len(block)})
                total = add_hashes(total, hash_rows(block))
                for row in block:
                    sample.add(row["text"])
            result[f"{kind}_hash"] = f"{total:064x}"
            result[f"{kind}_lengths"] = sample.lengths
            result[f"{kind}_languages"] = [
                {"language": name, "count": count} for name, count in languages.items()
            ]
        return result

    def _rows(
        self, kind: str, files: list[str], languages: Counter[str]
    ) -> Iterator[dict[str, Any]]:
        for file in files:
            staged = storage.read_parquet(storage.join(self.staging, kind, f"{file}.parquet"))
            lines = storage.read_parquet(storage.join(self.staging, LINES[kind], f"{file}.parquet"))
            kept = lines["keep"]
            texts = staged.filter(kept).to_pylist()
            for row, line in zip(texts, lines.filter(kept).to_pylist(), strict=True):
                languages[line["language"]] += 1
                if kind == "documents":
                    yield from self._documents(row, line)
                else:
                    yield _query(row, line)

    def _documents(self, row: dict[str, Any], line: dict[str, Any]) -> Iterator[dict[str, Any]]:
        pieces = chunk(row["text"], self.source.chunk_words, self.source.chunk_overlap)
        is_whole = len(pieces) == 1
        for number, text in enumerate(pieces):
            yield {
                "document_id": row["id"] if is_whole else f"{row['id']}{CHUNK_MARK}{number}",
                "text": text,
                "language": line["language"],
                "content_hash": row["content"] if is_whole else content_hash(text),
                "label": row["label"],
                "split": line["split"],
            }


def in_blocks(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield lists of so many rows, the last one of fewer."""
    remaining = iter(rows)
    while block := list(itertools.islice(remaining, size)):
        yield block


def hash_rows(rows: Iterable[dict[str, Any]]) -> int:
    """Return the hash of the rows as a set: a sum, so that neither order nor parts matter."""
    total = 0
    for row in rows:
        total = add_hashes(total, int(content_hash(fingerprint(row)), 16))
    return total


def add_hashes(one: int, other: int) -> int:
    """Return the hash of two sets of rows together."""
    return (one + other) % (1 << 256)


def _query(row: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_id": row["id"],
        "text": row["text"],
        "language": line["language"],
        "tags": line["tags"],
        "group_id": line["group_id"],
        "split": line["split"],
    }
