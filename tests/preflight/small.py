"""Write a small data set by hand, with classes, groups and rules that left rows out."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash
from tests.tiny import SIGNS, SUBJECTS

DOCUMENTS = {
    f"d{number}": f"{SIGNS[number % 10].capitalize()} that affects the {SUBJECTS[number % 12]}, grade {number}."
    for number in range(60)
}
_SPLITS = ("train", "train", "train", "dev", "test")


def write_small(root: Path, *, has_queries: bool = True) -> Dataset:
    """60 documents in three files, each with a query of its own; every seventh query has a second
    positive.
    """
    numbers = range(60) if has_queries else range(0)
    queries = [
        {
            "query_id": f"q{number}",
            "text": f"my {SUBJECTS[number % 12]} {SIGNS[number % 10]}?",
            "language": ("en", "fr")[number % 2],
            "tags": [],
            "group_id": f"g{number // 2}",
            "split": _SPLITS[number % 5],
        }
        for number in numbers
    ]
    qrels = [
        {"query_id": f"q{number}", "document_id": name, "score": score}
        for number in numbers
        for name, score in [(f"d{number}", 2.0), (f"d{(number + 30) % 60}", 1.0)][
            : 1 + (number % 7 == 0)
        ]
    ]
    rows = [
        {
            "document_id": name,
            "text": text,
            "language": "en",
            "content_hash": content_hash(text),
            "label": "sign",
        }
        for name, text in DOCUMENTS.items()
    ]
    with NewOutput(str(root), "small") as output:
        counts: dict[str, int] = {}
        for start in range(0, len(rows), 20):
            name = f"corpus/part-{start:05d}.parquet"
            counts[name] = len(rows[start : start + 20])
            output.write_parquet(name, _table(CORPUS, rows[start : start + 20]))
        output.write_parquet("queries/part-00000.parquet", _table(QUERIES, queries))
        output.write_parquet("qrels/part-00000.parquet", _table(QRELS, qrels))
        output.commit(
            DatasetManifest(
                fingerprint="small",
                counts={"documents": len(rows), "queries": len(queries), "judgments": len(qrels)},
                rows=counts,
                dropped={"empty query": 3, "query repeated": 40},
            )
        )
    return open_dataset(str(root))


def _table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
