"""Which queries train, which choose checkpoints, which measure: a stable hash per document, and a leak check.

A document's split depends on its own text and nothing else, so no growth of the data ever moves it. A query
follows its positives, and all queries with the same normalised text stay together. Where these positives
lie in different splits, the query is held out of all: as a positive it would show the test's documents to
training. (As mined negatives, training may meet any document of the corpus, as search does.)
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from medembed.data.config import SplitConfig
from medembed.data.rows import Document, Judgment, Query
from medembed.errors import DataError
from medembed.schema import normalize_text

HELD_OUT = "held_out"


def split_of(text: str, config: SplitConfig) -> str:
    """The split of a document with this text: train, dev or test."""
    digest = hashlib.sha256(f"{config.salt}\n{normalize_text(text) or text}".encode()).digest()
    position = int.from_bytes(digest[:7], "big") / 2**56
    if position < config.test:
        return "test"
    return "dev" if position < config.test + config.dev else "train"


def assign_splits(
    queries: Mapping[str, Query],
    documents: Mapping[str, Document],
    judgments: Iterable[Judgment],
    config: SplitConfig,
) -> dict[str, str]:
    """query_id -> train, dev, test or held_out."""
    reached: dict[str, set[str]] = defaultdict(set)
    for row in judgments:
        if row.score > 0:
            reached[_text_key(queries[row.query_id])].add(split_of(documents[row.document_id].text, config))
    keys = {query_id: _text_key(query) for query_id, query in queries.items()}
    return {
        query_id: next(iter(reached[key])) if len(reached[key]) == 1 else HELD_OUT for query_id, key in keys.items()
    }


def check_leaks(
    queries: Mapping[str, Query],
    documents: Mapping[str, Document],
    judgments: Iterable[Judgment],
    splits: Mapping[str, str],
) -> None:
    """Raises DataError if a query text or a positive document is in two splits, with counts and ids."""
    owners: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in judgments:
        split = splits[row.query_id]
        if row.score > 0 and split != HELD_OUT:
            owners["document", normalize_text(documents[row.document_id].text)].setdefault(split, row.query_id)
            owners["query text", _text_key(queries[row.query_id])].setdefault(split, row.query_id)
    leaks = [(kind, found) for (kind, _), found in owners.items() if len(found) > 1]
    if leaks:
        kind, found = leaks[0]
        where = ", ".join(f"{query_id!r} ({split})" for split, query_id in sorted(found.items()))
        raise DataError(
            f"splits leak: {len(leaks)} texts stand in more than one split, first a {kind} shared by queries {where}; "
            "put rows that share a text into one split."
        )


def _text_key(query: Query) -> str:
    return normalize_text(query.text) or query.text
