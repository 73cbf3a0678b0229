"""Search in memory, compared by value; check rows and pairs that have no place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.errors import StorageError
from medembed.schema import document_of
from medembed.search.corpus import Pairs, SortedCorpus, score_pairs, search_corpus
from medembed.search.float64_scores import unit_rows
from medembed.search.ranking import merge
from tests.search.by_hand import by_hand, draw_corpus


def test_no_rows_and_no_queries_give_empty_lists():
    nothing = np.zeros((0, 4), np.float32)
    row = np.ones((1, 4), np.float32)
    query = unit_rows(row, 4)[0]
    empty = search_corpus(query, SortedCorpus.of([([], nothing)], [4], by_document=True), 3)
    assert empty.ids.tolist() == [["", "", ""]]
    assert empty.scores.tolist() == [[-np.inf] * 3]
    full = SortedCorpus.of([(["a"], row)], [4], by_document=True)
    best = search_corpus(query, full, 3)
    assert merge(empty, best, 3, by_document=True).ids.tolist() == [["a", "", ""]]
    assert merge(best, empty, 3, by_document=True).ids.tolist() == [["a", "", ""]]
    assert search_corpus(nothing, full, 3).ids.shape == (0, 3)


def test_a_row_that_is_not_finite_is_named():
    vectors = np.ones((3, 4), np.float32)
    vectors[1, 2] = np.nan
    with pytest.raises(StorageError, match=r"row 'b': .* \(1 of 3 rows"):
        SortedCorpus.of([(["a", "b", "c"], vectors)], [4], by_document=False)


@given(st.integers(1, 60), st.booleans(), st.integers(0, 1000))
def test_a_pairs_score_is_that_of_its_documents_best_row_however_low_it_ranks(
    rows: int, chunks: bool, seed: int
):
    ids, vectors = draw_corpus(rows, 9, seed, chunks=chunks)
    queries = draw_corpus(4, 9, seed + 1, chunks=False)[1]
    documents = [*{document_of(name) for name in ids}, "nowhere"]
    lines = np.random.default_rng(seed).integers(0, 4, size=len(documents))
    corpus = SortedCorpus.of([(ids, vectors)], [9], by_document=chunks)
    pairs = Pairs(lines, np.array(documents))
    ranking = score_pairs(unit_rows(queries, 9)[0], corpus, pairs)
    expected = by_hand(queries, ids, vectors, len(ids), by_document=chunks)
    for line, document, row, score in zip(
        lines, documents, ranking.row_ids[:, 0].tolist(), ranking.scores[:, 0].tolist(), strict=True
    ):
        of_query = {name: (best, value) for name, best, value in expected[line]}
        assert (row, score) == of_query.get(document, ("", -np.inf))
