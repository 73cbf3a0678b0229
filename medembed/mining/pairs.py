"""Select the training pairs that are mined: a query with a document that answers it."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from medembed.data.dataset import Dataset
from medembed.language import tr
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
    """Return training pairs, of the queries in `only`, in an order that a hash decides.

    Those with `prefer_tag` come first, and `max_pairs` cuts. All pairs of a query, or with
    positives=best the one with the highest score in the qrels; of equal ones that which the order
    has first. A query without a positive gives none; logs how many those are.
    """
    qrels = dataset.qrels()
    order: dict[Pair, tuple[bool, str]] = {}
    unanswered = 0
    for row in dataset.queries("train").to_pylist():
        query_id = row["query_id"]
        if only is not None and query_id not in only:
            continue
        positives = _order_positives(query_id, qrels.get(query_id, {}), config)
        unanswered += not positives
        for place, document_id in positives:
            pair = Pair(query_id, row["text"], document_id)
            order[pair] = (config.prefer_tag not in row["tags"], place)
    if unanswered:
        logger.info(
            tr("{count} training queries without a positive are not mined", count=unanswered)
        )
    return sorted(order, key=order.__getitem__)[: config.max_pairs]


def _order_positives(
    query_id: str, grades: Mapping[str, float], config: MiningConfig
) -> list[tuple[str, str]]:
    """Return (place in the order, document) of the positives that become pairs."""
    ordered = []
    for document_id, grade in grades.items():
        if grade > 0:
            ordered.append((content_hash(f"{query_id} {document_id}"), document_id))
    ordered.sort()
    if config.positives == "best" and ordered:
        return [max(ordered, key=lambda entry: grades[entry[1]])]  # the first of equal ones
    return ordered
