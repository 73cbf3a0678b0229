import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.search.topk import Ranking, merge, top_k


def oracle(queries: np.ndarray, ids: list[str], documents: np.ndarray, k: int) -> list[list[str]]:
    scores = queries @ documents.T
    return [
        [name for _, name in sorted((-score, name) for score, name in zip(row, ids, strict=True))[:k]] for row in scores
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 1000))
def test_any_split_into_shards_gives_the_sorted_list_with_ties_by_id(count: int, k: int, shards: int, seed: int):
    generator = np.random.default_rng(seed)
    # Small integers: many exact ties, negative scores, and sums without rounding.
    documents = generator.integers(-2, 3, size=(count, 3)).astype(np.float32)
    queries = generator.integers(-2, 3, size=(4, 3)).astype(np.float32)
    ids = [f"d{number}" for number in generator.permutation(count)]
    parts = [
        top_k(queries, np.asarray(ids[start::shards]), documents[start::shards], k)
        for start in range(min(shards, count))
    ]
    best = parts[0]
    for part in parts[1:]:
        best = merge(best, part, k)
    found = [[name for name in row if name] for row in best.ids.tolist()]
    assert found == oracle(queries, ids, documents, k)


def test_fewer_documents_than_k_leave_empty_places():
    ranking = top_k(np.ones((1, 2), np.float32), np.asarray(["a"]), np.ones((1, 2), np.float32), 3)
    assert ranking.ids.tolist() == [["a", "", ""]]
    assert ranking.scores.tolist() == [[2.0, -np.inf, -np.inf]]


def test_no_documents_give_an_empty_ranking_that_merges():
    empty = top_k(np.ones((1, 2), np.float32), np.asarray([], dtype=np.str_), np.empty((0, 2), np.float32), 2)
    full = top_k(np.ones((1, 2), np.float32), np.asarray(["longer-id"]), np.ones((1, 2), np.float32), 2)
    assert isinstance(merge(empty, full, 2), Ranking)
    assert merge(empty, full, 2).ids.tolist() == [["longer-id", ""]]
