"""Turn examples into the trainer's columns, with ids by which the loss knows duplicates. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.schema import document_of, own_document

Columns = dict[str, list[Any]]  # what the trainer reads, `label` last
NO_DOCUMENT = -1  # id of the stand-in where an example has fewer negatives than others


class TrainingTexts(NamedTuple):
    """What a trainer and its loss read: rows in columns, and what the ranking loss knows besides.

    `known` are `known_pairs`, of which the columns name some; `documents` are those that
    `loss.hold` joins. `languages` are each row's, where batches are of one pair of languages.
    `vectors` [rows, D] are a teacher's, whose row numbers stand as `label`.
    """

    columns: Columns
    known: Sequence[tuple[int, int]] = ()
    documents: Sequence[str] = ()
    languages: Sequence[str] = ()
    vectors: npt.NDArray[np.float32] | None = None


def to_columns(examples: Sequence[dict[str, Any]]) -> Columns:
    """Return {query, positive, negative_0, ..., label}: texts, and int64 ids as `label`.

    `label` is [query id, positive id, negative ids ...] per row: the trainer's collator tokenises
    every other column, and this one becomes a tensor. Ids are those of documents, so that another
    chunk of a positive is known as one. Where an example has fewer negatives than others, an empty
    text with id NO_DOCUMENT stands in, which the loss masks.
    """
    count = max((len(row["negatives"]) for row in examples), default=0)
    numbers = _number(examples)
    columns: Columns = {name: [] for name in ("query", "positive")}
    columns |= {f"negative_{position}": [] for position in range(count)}
    labels = []
    for row in examples:
        missing = count - len(row["negatives"])
        texts = [row["query"], row["positive"], *row["negatives"], *[""] * missing]
        for column, text in zip(columns.values(), texts, strict=True):
            column.append(text)
        ids = [numbers["document", document_of(name)] for name in _document_ids(row)]
        labels.append([numbers["query", row["query"]], *ids, *[NO_DOCUMENT] * missing])
    return columns | {"label": labels}


def known_pairs(
    examples: Sequence[dict[str, Any]], qrels: Mapping[str, Mapping[str, float]]
) -> list[tuple[int, int]]:
    """Return (query id, document id) of the known positives of the examples' queries, sorted.

    A query's own text is among them.

    Ids are as in `to_columns`. qrels: {query: {document: score}}. A query has positives that no
    example names where fewer pairs were mined than there are.
    """
    numbers = _number(examples)
    pairs = set()
    for row in examples:
        query = numbers["query", row["query"]]
        pairs.add((query, numbers["document", document_of(row["positive_id"])]))
        known = [name for name, score in qrels.get(row["query_id"], {}).items() if score > 0]
        own = own_document(row["query_id"])
        for name in known if own is None else [*known, own]:
            if ("document", name) in numbers:
                pairs.add((query, numbers["document", name]))
    return sorted(pairs)


def _number(examples: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Number {("query", text) or ("document", id)}.

    A text that is asked twice has one number, and so have all chunks of a document.
    """
    numbers: dict[tuple[str, str], int] = {}
    for row in examples:
        for name in _document_ids(row):
            numbers.setdefault(("document", document_of(name)), len(numbers))
        numbers.setdefault(("query", row["query"]), len(numbers))
    return numbers


def _document_ids(row: dict[str, Any]) -> list[str]:
    return [row["positive_id"], *row["negative_ids"]]


def to_triplets(examples: Sequence[dict[str, Any]]) -> Columns:
    """Return {query, positive, negative, label}, with a row for each negative.

    No triplet loss reads `label`, which is 0.
    """
    columns: Columns = {"query": [], "positive": [], "negative": [], "label": []}
    for row in examples:
        for negative in row["negatives"]:
            columns["query"].append(row["query"])
            columns["positive"].append(row["positive"])
            columns["negative"].append(negative)
            columns["label"].append(0)
    return columns
