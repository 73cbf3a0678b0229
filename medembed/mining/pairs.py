"""Which training pairs are mined: a query with a document that answers it."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from medembed.data.dataset import Dataset
from medembed.mining.config import MiningConfig
from medembed.schema import content_hash

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A training query with one document that answers it, named as the judgments name it."""

    query_id: str
    query: str
    positive_id: str


def select_pairs(
    dataset: Dataset, config: MiningConfig, only: Collection[str] | None = None
) -> list[Pair]:
    """Training pairs, of the queries in `only`, in an order that a hash decides, those with
    `prefer_tag` first, cut at `max_pairs`.

    All pairs of a query, or with positives=best the one with the highest score in the qrels; of
    equal ones that which the order has first. A query without a positive gives none; logs how many
    those are.
    """
    qrels, queries = dataset.qrels(), dataset.queries("train").to_pylist()
    queries = queries if only is None else [row for row in queries if row["query_id"] in only]
    ordered = [
        (config.prefer_tag not in row["tags"], order, row, document_id)
        for row in queries
        for order, document_id in _positives(
            row["query_id"], qrels.get(row["query_id"], {}), config
        )
    ]
    unanswered = len(queries) - len({row["query_id"] for _, _, row, _ in ordered})
    if unanswered:
        logger.info("%d training queries without a positive are not mined", unanswered)
    ordered.sort(key=lambda entry: entry[:2])
    return [
        Pair(row["query_id"], row["text"], document_id)
        for _, _, row, document_id in ordered[: config.max_pairs]
    ]


def _positives(
    query_id: str, grades: Mapping[str, float], config: MiningConfig
) -> list[tuple[str, str]]:
    """(place in the order, document) of the positives that become pairs."""
    found = {name: grade for name, grade in grades.items() if grade > 0}
    ordered = sorted((content_hash(f"{query_id} {name}"), name) for name in found)
    if config.positives == "best" and ordered:
        return [max(ordered, key=lambda entry: found[entry[1]])]  # the first of equal ones
    return ordered
