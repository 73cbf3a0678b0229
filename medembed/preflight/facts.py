"""Count what the data set holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medembed.data.dataset import Dataset
from medembed.mining.pairs import Pair
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
    pairs: Sequence[Pair],
    most_pairs: int | None,
) -> DataFacts:
    """Count queries, groups and training pairs; `rows` are all queries (`schema.QUERIES`)."""
    splits: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    weak: set[str] = set()
    for row in rows:
        if max(qrels.get(row["query_id"], {}).values(), default=0) > 0:
            splits[row["split"]] += 1
            groups[row["group_id"]] += 1
            if WEAK in row["tags"]:
                weak.add(row["query_id"])
    dropped = sorted(dataset.manifest.dropped.items(), key=lambda entry: (-entry[1], entry[0]))
    return DataFacts(
        queries={split: splits[split] for split in SPLITS},
        without_positive=len(rows) - splits.total(),
        pairs=len(pairs),
        weak_pairs=sum(pair.query_id in weak for pair in pairs),
        examples=len(pairs[:most_pairs]),
        largest_group=max(groups.values(), default=0),
        dropped=dict(dropped),
    )
