"""Examples -> the columns that the trainer reads: with ids by which the loss knows duplicates, or
with scores. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medembed.schema import document_of

Columns = dict[str, list[Any]]  # what the trainer reads, `label` last
NO_DOCUMENT = -1  # id of the stand-in where an example has fewer negatives than others


class TrainingTexts(NamedTuple):
    """What a trainer and its loss read: rows in columns, and for a ranking loss what it must know
    besides.

    `known` are `known_pairs`, of which the columns name some; `documents` are those that
    `loss.hold` joins.
    """

    columns: Columns
    known: Sequence[tuple[int, int]] = ()
    documents: Sequence[str] = ()


def to_columns(examples: Sequence[dict[str, Any]]) -> Columns:
    """{query, positive, negative_0, ..., label}: texts, and int64 ids as `label`.

    `label` is [query id, positive id, negative ids ...] per row: the trainer's collator tokenises
    every other column, and this one becomes a tensor. Ids are those of documents, so that another
    chunk of a positive is known as one. Where an example has fewer negatives than others, an empty
    text with id NO_DOCUMENT stands in, which the loss masks.
    """
    count, numbers = max((len(row["negatives"]) for row in examples), default=0), _number(examples)
    columns = _texts(examples, count)
    for row in examples:
        documents = [
            numbers["document", document_of(name)]
            for name in (row["positive_id"], *row["negative_ids"])
        ]
        padding = [NO_DOCUMENT] * (count + 1 - len(documents))
        columns.setdefault("label", []).append(
            [numbers["query", row["query"]], *documents, *padding]
        )
    return columns


def known_pairs(
    examples: Sequence[dict[str, Any]], qrels: Mapping[str, Mapping[str, float]]
) -> list[tuple[int, int]]:
    """(query id, document id), ids as in `to_columns`, of all positives that the examples' queries
    are known to have.

    qrels: {query: {document: score}}. A query has positives that no example names where fewer pairs
    were mined than there are.
    """
    numbers = _number(examples)
    pairs = {
        (numbers["query", row["query"]], numbers["document", document_of(row["positive_id"])])
        for row in examples
    }
    for row in examples:
        judged = qrels.get(row["query_id"], {})
        found = [numbers.get(("document", name)) for name, score in judged.items() if score > 0]
        pairs |= {
            (numbers["query", row["query"]], number) for number in found if number is not None
        }
    return sorted(pairs)


def _number(examples: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """{("query", text) or ("document", id): number}: one for a text that is asked twice, one for
    all chunks.
    """
    numbers: dict[tuple[str, str], int] = {}
    for row in examples:
        for name in (row["positive_id"], *row["negative_ids"]):
            numbers.setdefault(("document", document_of(name)), len(numbers))
        numbers.setdefault(("query", row["query"]), len(numbers))
    return numbers


def to_scored_columns(examples: Sequence[dict[str, Any]]) -> Columns:
    """{query, positive, negative_0, ..., label}: `label` is the second opinion's [positive's,
    negatives' ...] scores.

    Where an example has fewer negatives than others, an empty text with score NaN stands in.
    Examples without any negative are left out.
    """
    examples = [row for row in examples if row["negatives"]]
    count = max((len(row["negatives"]) for row in examples), default=0)
    scores = [[row["positive_second_score"], *row["negative_second_scores"]] for row in examples]
    padded = [found + [math.nan] * (count + 1 - len(found)) for found in scores]
    return _texts(examples, count) | {"label": padded}


def to_triplets(examples: Sequence[dict[str, Any]]) -> Columns:
    """{query, positive, negative, label}: a row for each negative; `label`, which no triplet loss
    reads, is 0.
    """
    rows = [
        (row["query"], row["positive"], negative)
        for row in examples
        for negative in row["negatives"]
    ]
    return {
        "query": [query for query, _, _ in rows],
        "positive": [positive for _, positive, _ in rows],
        "negative": [negative for _, _, negative in rows],
        "label": [0] * len(rows),
    }


def _texts(examples: Sequence[dict[str, Any]], count: int) -> Columns:
    """{query, positive, negative_0, ...} with `count` columns of negatives; "" where an example has
    fewer.
    """
    columns: Columns = {
        "query": [row["query"] for row in examples],
        "positive": [row["positive"] for row in examples],
    }
    for position in range(count):
        columns[f"negative_{position}"] = [
            row["negatives"][position] if position < len(row["negatives"]) else ""
            for row in examples
        ]
    return columns
