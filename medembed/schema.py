"""Columns of every file that MedEmbed writes, and the hashes that identify what is in them."""

import hashlib
import json
from typing import Any

import pyarrow as pa

# One row is what is encoded: a whole document, or a chunk of one (its id then says so, see
# `document_of`). `label` is a text's class; `split` is that of the document's group.
CORPUS = pa.schema(
    [
        ("document_id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("content_hash", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
    ]
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
# Judgments of whole documents. `similarity` is what a scored pair came with, from 0 to 1; null
# elsewhere.
QRELS = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("score", pa.float32()),
        ("similarity", pa.float32()),
    ]
)
# Judgments that no split may use; still true, so that mining takes none of these documents for a
# negative.
HELD_OUT = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("score", pa.float32()),
        ("reason", pa.string()),
    ]
)
# The memory of splits: which split a text or user key has, by the hash of its words.
GROUPS = pa.schema([("name", pa.string()), ("split", pa.string())])
# positive_id and negative_ids name corpus rows, which is what a model encodes: a document's chunk
# where it has some. Ranks count from 0 without the known positives; null for a judged negative
# outside the window. `second` scores are a teacher's or cross-encoder's, null without one.
EXAMPLES = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("positive_id", pa.string()),
        ("positive", pa.string()),
        ("negative_ids", pa.list_(pa.string())),
        ("negatives", pa.list_(pa.string())),
        ("positive_score", pa.float64()),
        ("negative_scores", pa.list_(pa.float64())),
        ("negative_ranks", pa.list_(pa.int32())),
        ("negative_judged", pa.list_(pa.bool_())),
        ("positive_second_score", pa.float64()),
        ("negative_second_scores", pa.list_(pa.float64())),
    ]
)
# The same with one negative to a row.
EXAMPLE_ROWS = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("positive_id", pa.string()),
        ("positive", pa.string()),
        ("negative_id", pa.string()),
        ("negative", pa.string()),
        ("positive_score", pa.float64()),
        ("negative_score", pa.float64()),
        ("negative_rank", pa.int32()),
        ("negative_judged", pa.bool_()),
        ("positive_second_score", pa.float64()),
        ("negative_second_score", pa.float64()),
    ]
)
# What each query of an evaluation found first at each dimension.
BEST = pa.schema(
    [
        ("query_id", pa.string()),
        ("dimension", pa.int32()),
        ("document_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
    ]
)
# Columns of ids in whatever file: of documents, of their rows, or of groups, which bear a
# document's name; of queries; of pairs, a query and a document joined by a tab.
DOCUMENT_COLUMNS = frozenset(
    [
        "document_id",
        "document_ids",
        "row_id",
        "rows",
        "positive_id",
        "negative_id",
        "negative_ids",
        "group_id",
    ]
)
QUERY_COLUMNS = frozenset({"query_id"})
PAIR_COLUMNS = frozenset({"pair_id"})
SPLITS = ("train", "dev", "test")
# split of queries that nothing trains on, and that show what a model keeps elsewhere
HELD_BACK = "held_back"
ALL_SPLITS = (*SPLITS, HELD_BACK)
WEAK = "weak"  # tag of a query that was made from a document's structure; never in the test split
UNDETERMINED = "und"  # ISO 639-2 for a language that nobody knows
CHUNK_MARK = "#chunk-"
PARALLEL_MARK = "#text-"  # in the id of a text that is both a document and a query


def embeddings(size: int, values: pa.DataType) -> pa.Schema:
    """Return columns of an embedding table whose vectors are so many values of this type."""
    return pa.schema(
        [
            ("document_id", pa.string()),
            ("content_hash", pa.string()),
            ("embedding", pa.list_(values, size)),
        ]
    )


def document_of(row_id: str) -> str:
    """Return the document that a row belongs to: itself, or for "d7#chunk-2" the document "d7"."""
    return row_id.partition(CHUNK_MARK)[0]


def own_document(query_id: str) -> str | None:
    """Return the document that is the query's own text; None for a query that is no document.

    It neither answers the query nor stands wrongly before an answer.
    """
    return query_id if PARALLEL_MARK in query_id else None


def content_hash(content: str | bytes) -> str:
    """Identify a text or a file: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[
        :32
    ]


def fingerprint(value: Any) -> str:
    """Identify a JSON-like value, whatever the order of its keys: 16 hexadecimal digits."""
    canonical = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
