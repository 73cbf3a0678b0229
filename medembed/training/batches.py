"""Examples -> the columns that the trainer reads, with ids by which the loss knows duplicates. Pure."""

from collections.abc import Sequence
from typing import Any

from medembed.schema import document_of

NO_DOCUMENT = -1  # id of the stand-in where an example has fewer negatives than others


def to_columns(examples: Sequence[dict[str, Any]], query_prompt: str, document_prompt: str) -> dict[str, list[Any]]:
    """{query, positive, negative_0, ..., label}: texts behind their prompts, and int64 ids as `label`.

    `label` is [query id, positive id, negative ids ...] per row: the trainer's collator tokenises every
    other column, and this one becomes a tensor. Ids are those of documents, so that another chunk of a positive
    is known as one. Where an example has fewer negatives than others, an empty
    text with id NO_DOCUMENT stands in, which the loss masks.
    """
    count = max((len(row["negatives"]) for row in examples), default=0)
    numbers: dict[tuple[str, str], int] = {}

    def number(kind: str, name: str) -> int:
        return numbers.setdefault((kind, name), len(numbers))

    columns: dict[str, list[Any]] = {
        "query": [query_prompt + row["query"] for row in examples],
        "positive": [document_prompt + row["positive"] for row in examples],
    }
    for position in range(count):
        columns[f"negative_{position}"] = [
            document_prompt + row["negatives"][position] if position < len(row["negatives"]) else "" for row in examples
        ]
    for row in examples:
        documents = [number("document", document_of(name)) for name in (row["positive_id"], *row["negative_ids"])]
        padding = [NO_DOCUMENT] * (count + 1 - len(documents))
        columns.setdefault("label", []).append([number("query", row["query"]), *documents, *padding])
    return columns
