"""A small hand-written data set whose documents are in chunks, with its brute-force ranking."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, open_dataset
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, HELD_OUT, QRELS, QUERIES, content_hash

NOTICE = "Ask your doctor about numbness."  # the same chunk stands in two documents
CHUNKS = {
    "heart": [
        "Pain in the heart.",
        "Heart weakness at night.",
        "Tremor of the hand, then heart pain.",
        "Bleeding 1.",
    ],
    "kidney": ["Kidney swelling.", "Kidney pain and bleeding.", NOTICE],
    "lung": [
        "Lung bleeding.",
        "The lung, stiffness and pain.",
        "Lung weakness.",
        "Lung swelling.",
        "Lung rash.",
    ],
    "skin": ["Skin rash.", "Itching skin, burning skin.", NOTICE],
    "eye": ["Burning eye.", "Itching of the eye."],
    "brain": ["Brain tremor.", "Weakness and numbness of the brain."],
}
WHOLE = {
    "bone": "Bone pain and stiffness.",
    "ear": "Ear pain, itching ear.",
    "foot": "Numbness of the foot.",
    "nose": "Nose bleeding.",
    "liver": "Liver swelling and itching skin.",
}
# query_id -> (text, split, {document: score})
QUERIES_BY_ID: dict[str, tuple[str, str, dict[str, float]]] = {
    "q-heart": ("my heart pain", "train", {"heart": 1.0, "lung": 0.0}),
    "q-kidney": ("kidney bleeding", "train", {"kidney": 2.0, "liver": 1.0}),
    "q-notice": ("ask about numbness", "train", {"skin": 1.0}),
    "q-foot": ("foot numbness", "train", {"foot": 1.0}),
    "q-refused": ("ear rash", "train", {"ear": 0.0}),
    "q-unjudged": ("hand rash", "train", {}),
    "q-eye": ("itching eye", "dev", {"eye": 1.0}),
    "q-dev-refused": ("eye 7", "dev", {"nose": 0.0}),
    "q-lung": ("lung stiffness", "test", {"lung": 2.0, "heart": 1.0}),
    "q-skin": ("burning rash", "test", {"skin": 1.0}),
    "q-nose": ("nose pain", "test", {"nose": 1.0}),
    "q-test-refused": ("brain 7", "test", {"brain": 0.0}),
    "q-test-unjudged": ("brain 8", "test", {}),
}
HELD = {"q-heart": {"brain": 1.0, "bone": 0.0}, "q-gone": {"ear": 1.0}}
ROWS_PER_FILE = 7


def write_chunked(root: Path) -> Dataset:
    """Write the data set, with a document's chunks in different files."""
    texts = dict(WHOLE)
    for name, chunks in CHUNKS.items():
        for number, chunk in enumerate(chunks):
            texts[f"{name}#chunk-{number}"] = chunk
    rows = sorted(texts.items(), key=lambda row: content_hash(row[0]))
    queries = []
    for name, (text, split, _) in QUERIES_BY_ID.items():
        tags = ["refused"] if "refused" in name else []
        row = {"query_id": name, "text": text, "tags": tags, "group_id": name, "split": split}
        queries.append(row)
    judged = {name: row[2] for name, row in QUERIES_BY_ID.items()}
    tables = {
        "queries/part-00000.parquet": _table(QUERIES, queries),
        "qrels/part-00000.parquet": _table(QRELS, _judgments(judged)),
        "held_out/part-00000.parquet": _table(HELD_OUT, _judgments(HELD)),
    }
    row_counts = {}
    with NewOutput(str(root), "chunked") as output:
        for name, table in tables.items():
            output.write_parquet(name, table)
        for start in range(0, len(rows), ROWS_PER_FILE):
            documents = []
            for name, text in rows[start : start + ROWS_PER_FILE]:
                row = {"document_id": name, "text": text, "language": "en"}
                documents.append(row | {"content_hash": content_hash(text)})
            output.write_parquet(f"corpus/part-{start:05d}.parquet", _table(CORPUS, documents))
            row_counts[output.files[-1]] = len(documents)
        output.commit(DatasetManifest(fingerprint="chunked", rows=row_counts))
    return open_dataset(str(root))


def rank_documents(query: np.ndarray, rows: dict[str, np.ndarray]) -> list[tuple[str, float, str]]:
    """Return (document, its best row's score, that row) of all documents, best first, by brute
    force.
    """
    best: dict[str, tuple[float, str]] = {}
    for row_id, vector in sorted(rows.items()):
        document = row_id.split("#chunk-")[0]
        score = float(vector @ query)
        if document not in best or score > best[document][0]:
            best[document] = (score, row_id)
    ranked = [(document, score, row_id) for document, (score, row_id) in best.items()]
    return sorted(ranked, key=lambda row: (-row[1], row[0]))


def _judgments(judged: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    rows = []
    for query_id, grades in judged.items():
        for document_id, score in grades.items():
            rows.append({"query_id": query_id, "document_id": document_id, "score": score})
    return rows


def _table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
