import itertools
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.schema import document_of
from medembed.search import topk
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


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 5), st.integers(1, 9), st.integers(0, 10_000))
def test_any_shards_and_blocks_rank_documents_as_all_their_chunks_do(
    count: int, k: int, shards: int, block: int, seed: int
):
    generator = np.random.default_rng(seed)
    rows = generator.integers(-2, 3, size=(count, 3)).astype(np.float32)
    queries = generator.integers(-2, 3, size=(4, 3)).astype(np.float32)
    # Chunks of a document fall into any blocks and shards; every fifth row is a whole document. "!" stands before
    # "#": the order of documents is not that of their rows.
    owners = generator.integers(0, max(1, count // 3), size=count)
    ids = [f"d{number}" if number % 5 == 0 else f"d{'!' * owners[number]}#chunk-{number}" for number in range(count)]
    with patch.object(topk, "_BLOCK", block):
        parts = [
            top_k(queries, np.asarray(ids[start::shards]), rows[start::shards], k, by_document=True)
            for start in range(min(shards, count))
        ]
    best = parts[0]
    for part in parts[1:]:
        best = merge(best, part, k)
    for line, scores in enumerate((queries @ rows.T).tolist()):
        expected: dict[str, tuple[float, str]] = {}
        for score, row_id in sorted(zip(scores, ids, strict=True), key=lambda pair: (-pair[0], pair[1])):
            expected.setdefault(document_of(row_id), (score, row_id))
        ranked = sorted(expected.items(), key=lambda entry: (-entry[1][0], entry[0]))[:k]
        found = zip(best.ids[line].tolist(), best.scores[line].tolist(), best.row_ids[line].tolist(), strict=True)
        assert [(name, (score, row)) for name, score, row in found if name] == ranked


def test_a_documents_score_is_its_best_chunks_and_its_other_chunks_take_no_place():
    ids = np.asarray(["a#chunk-0", "a#chunk-1", "a#chunk-2", "b", "c#chunk-0"])
    rows = np.asarray([[0.5], [0.9], [0.9], [0.7], [0.1]], dtype=np.float32)
    ranking = top_k(np.ones((1, 1), np.float32), ids, rows, 2, by_document=True)
    assert ranking.ids.tolist() == [["a", "b"]]
    assert ranking.row_ids.tolist() == [["a#chunk-1", "b"]]
    assert ranking.scores.tolist() == rows[[1, 3], 0][None].tolist()


def test_documents_of_one_row_each_are_ranked_as_rows_are():
    """No row id carries the mark: the same arrays, and nothing about rows to store or send."""
    generator = np.random.default_rng(3)
    rows, queries = generator.normal(size=(50, 4)).astype(np.float32), np.eye(4, dtype=np.float32)
    ids = np.asarray([f"d{number}" for number in range(50)])
    one, other = (top_k(queries, ids, rows, 5, by_document=flag) for flag in (True, False))
    assert one.rows is None
    assert (one.ids.tobytes(), one.scores.tobytes()) == (other.ids.tobytes(), other.scores.tobytes())


def test_shards_with_and_without_chunks_merge():
    query = np.ones((1, 1), np.float32)
    whole = top_k(query, np.asarray(["b", "c"]), np.asarray([[0.5], [0.1]], np.float32), 3, by_document=True)
    parts = top_k(
        query, np.asarray(["a#chunk-0", "a#chunk-1"]), np.asarray([[0.2], [0.9]], np.float32), 3, by_document=True
    )
    for merged in (merge(whole, parts, 3), merge(parts, whole, 3)):
        assert merged.ids.tolist() == [["a", "b", "c"]]
        assert merged.row_ids.tolist() == [["a#chunk-1", "b", "c"]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 6), st.integers(0, 10_000))
def test_shards_of_any_size_give_the_same_bits_and_equal_rows_tie(rows: int, queries: int, shards: int, seed: int):
    generator = np.random.default_rng(seed)
    distinct = generator.normal(size=(max(rows // 3, 1), 24)).astype(np.float32)
    documents = distinct[generator.integers(0, len(distinct), size=rows)]
    asked = generator.normal(size=(queries, 24)).astype(np.float32)
    ids = np.asarray([f"d{number:03d}" for number in generator.permutation(rows)])
    whole = top_k(asked, ids, documents, 10)
    cuts = np.sort(generator.integers(0, rows + 1, size=shards - 1))
    parts = [top_k(asked, *part, 10) for part in zip(np.split(ids, cuts), np.split(documents, cuts), strict=True)]
    best = parts[0]
    for part in parts[1:]:
        best = merge(best, part, 10)
    assert best.ids.tolist() == whole.ids.tolist()
    assert best.scores.tobytes() == whole.scores.tobytes()
    texts = {name: row.tobytes() for name, row in zip(ids.tolist(), documents, strict=True)}
    for names, scores in zip(whole.ids.tolist(), whole.scores.tolist(), strict=True):
        for one, other in itertools.pairwise(range(min(rows, 10))):
            if texts[names[one]] == texts[names[other]]:
                assert (scores[one], names[one] < names[other]) == (scores[other], True)
