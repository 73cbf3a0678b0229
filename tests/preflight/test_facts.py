from pathlib import Path

from medembed.mining.config import MiningConfig
from medembed.mining.pairs import select_pairs
from medembed.preflight.facts import count_data
from medembed.schema import WEAK
from tests.preflight.small import write_small


def test_counts_are_those_of_queries_with_a_positive_and_pairs_are_cut_as_mining_cuts_them(
    tmp_path: Path,
):
    dataset = write_small(tmp_path / "data")
    rows, qrels = dataset.queries().to_pylist(), dataset.qrels()
    pairs = select_pairs(dataset, MiningConfig())
    facts = count_data(dataset, rows, qrels, pairs, 5)
    assert facts.queries == {"train": 36, "dev": 12, "test": 12}
    assert facts.pairs == 42, "six training queries have a second positive"
    assert facts.examples == 5
    assert (facts.without_positive, facts.weak_pairs, facts.largest_group) == (0, 0, 2)
    assert list(facts.dropped.items()) == [("query repeated", 40), ("empty query", 3)], (
        "the largest first"
    )

    unasked = {
        query_id: dict.fromkeys(grades, 0.0)
        for query_id, grades in qrels.items()
        if query_id < "q2"
    }
    weak = [row | {"tags": [WEAK]} if row["query_id"] == "q20" else row for row in rows]
    facts = count_data(dataset, weak, qrels | unasked, pairs, None)
    assert (facts.without_positive, sum(facts.queries.values())) == (
        len(unasked),
        60 - len(unasked),
    )
    assert facts.weak_pairs == 1
