from pathlib import Path

import numpy as np

from medembed.mining.config import MiningConfig
from medembed.preflight.encode_probe import Encoded
from medembed.preflight.facts import count_data
from medembed.preflight.quality import measure_quality
from medembed.preflight.sample import Corpus, Queries
from medembed.schema import WEAK
from tests.preflight.small import write_small


def test_counts_are_those_of_queries_with_a_positive_and_pairs_are_cut_as_mining_cuts_them(tmp_path: Path):
    dataset = write_small(tmp_path / "data")
    rows, qrels = dataset.queries().to_pylist(), dataset.qrels()
    facts, pairs = count_data(dataset, rows, qrels, MiningConfig(max_pairs=5))
    assert facts.queries == {"train": 36, "dev": 12, "test": 12}
    assert (facts.pairs, facts.examples, len(pairs)) == (42, 5, 5), "six training queries have a second positive"
    assert (facts.without_positive, facts.weak_pairs, facts.largest_group) == (0, 0, 2)
    assert list(facts.dropped.items()) == [("query repeated", 40), ("empty query", 3)], "the largest first"

    unasked = {query_id: dict.fromkeys(grades, 0.0) for query_id, grades in qrels.items() if query_id < "q2"}
    weak = [row | {"tags": [WEAK]} if row["query_id"] == "q20" else row for row in rows]
    facts, _ = count_data(dataset, weak, qrels | unasked, MiningConfig())
    assert (facts.without_positive, sum(facts.queries.values())) == (len(unasked), 60 - len(unasked))
    assert facts.weak_pairs == 1


def test_quality_is_told_by_every_language_that_has_twenty_queries():
    vectors = np.eye(12, dtype=np.float32)
    rows = tuple((f"d{number:02d}", "") for number in range(12))
    languages = ("en",) * 20 + ("fr",) * 20 + ("de",) * 19
    positives = tuple({"d00": 1.0} if name == "en" else {"d11": 1.0} for name in languages)
    queries = Queries(*(tuple(map(str, range(59))),) * 2, languages, tuple(map(str, range(59))), positives)
    encoded = Encoded(8, np.tile(vectors[0], (59, 1)), vectors)
    found = measure_quality(encoded, queries, Corpus(rows, (), {}, 12, 12, 0))
    assert {name: (of.queries, of.recall) for name, of in found.languages.items()} == {"en": (20, 1.0), "fr": (20, 0.0)}
    assert found.recall.value == 20 / 59

    alone = Queries(queries.ids, queries.texts, ("fr",) * 40 + ("de",) * 19, queries.groups, positives)
    assert set(measure_quality(encoded, alone, Corpus(rows, (), {}, 12, 12, 0)).languages) == {"fr"}
