"""Columns of every file that MedEmbed writes, and the hashes that identify what is in them."""

import hashlib
import json
import re
import unicodedata
from typing import Any

import pyarrow as pa

CORPUS = pa.schema(
    [("document_id", pa.string()), ("text", pa.string()), ("language", pa.string()), ("content_hash", pa.string())]
)
QUERIES = pa.schema(
    [
        ("query_id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("group_id", pa.string()),
        ("split", pa.string()),
    ]
)
QRELS = pa.schema([("query_id", pa.string()), ("document_id", pa.string()), ("score", pa.float32())])
EXAMPLES = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("positive_id", pa.string()),
        ("positive", pa.string()),
        ("negative_ids", pa.list_(pa.string())),
        ("negatives", pa.list_(pa.string())),
        ("positive_score", pa.float32()),
        ("negative_scores", pa.list_(pa.float32())),
        ("negative_ranks", pa.list_(pa.int32())),
    ]
)
QUERY_METRICS = pa.schema(
    [
        ("query_id", pa.string()),
        ("group_id", pa.string()),
        ("dimension", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
SPLITS = ("train", "dev", "test")


def embeddings(width: int) -> pa.Schema:
    """Columns of an embedding table whose vectors have `width` float32 values."""
    return pa.schema(
        [
            ("document_id", pa.string()),
            ("content_hash", pa.string()),
            ("embedding", pa.list_(pa.float32(), width)),
        ]
    )


def content_hash(content: str | bytes) -> str:
    """Identifies a text or a file: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]


def fingerprint(value: Any) -> str:
    """Identifies a JSON-like value, whatever the order of its keys: 16 hexadecimal digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def normalize_text(text: str) -> str:
    """The text as duplicates and leaks compare it: NFKC, case folded, words only, single spaces."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
