"""Count what the data set holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medembed.data.dataset import Dataset
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import Pair, select_pairs
from medembed.schema import SPLITS, WEAK


@dataclass(frozen=True)
class DataFacts:
    """Counts; `queries` have a positive, by split; `examples` of the `pairs` are trained on."""

    queries: dict[str, int]
    without_positive: int
    pairs: int
    weak_pairs: int
    examples: int
    largest_group: int
    dropped: dict[str, int]


def count_data(
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    qrels: dict[str, dict[str, float]],
    mining: MiningConfig,
) -> tuple[DataFacts, list[Pair]]:
    """Return the counts and the pairs to train on; `rows` are all queries (`schema.QUERIES`)."""
    asked = [
        row for row in rows if any(grade > 0 for grade in qrels.get(row["query_id"], {}).values())
    ]
    splits = Counter(row["split"] for row in asked)
    groups = Counter(row["group_id"] for row in asked)
    weak = {row["query_id"] for row in asked if WEAK in row["tags"]}
    pairs = select_pairs(dataset, mining.model_copy(update={"max_pairs": None}))
    examples = pairs[: mining.max_pairs]
    dropped = dict(
        sorted(dataset.manifest.dropped.items(), key=lambda entry: (-entry[1], entry[0]))
    )
    facts = DataFacts(
        queries={split: splits[split] for split in SPLITS},
        without_positive=len(rows) - len(asked),
        pairs=len(pairs),
        weak_pairs=sum(pair.query_id in weak for pair in pairs),
        examples=len(examples),
        largest_group=max(groups.values(), default=0),
        dropped=dropped,
    )
    return facts, examples
