"""Check that a search in memory gives what brute force in float64 gives, to the bit."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.errors import ConfigError, DataError, ModelError
from medembed.matryoshka import truncate
from medembed.search.funnel import Funnel
from medembed.search.in_memory import RowsInMemory
from tests.search.by_hand import Vectors, by_hand, draw, draw_corpus, funnel_by_hand, listed

WIDTH = 16


def make(rows: int, seed: int, *, chunks: bool) -> tuple[list[str], Vectors, Vectors]:
    """Return ids in no order, unit rows, and three queries of which one is a row."""
    ids, vectors = draw_corpus(rows, WIDTH, seed, chunks=chunks)
    vectors = truncate(vectors, WIDTH)
    return ids, vectors, np.concatenate([vectors[:1], draw(2, WIDTH, seed)])


def hold(ids: list[str], vectors: Vectors) -> RowsInMemory:
    return RowsInMemory(ids, np.array_split(vectors, 3), WIDTH, dimensions=(4, 8))


ROWS = st.integers(1, 90)
K = st.integers(1, 12)
SEEDS = st.integers(0, 10_000)


@settings(max_examples=50)
@given(ROWS, K, st.integers(1, WIDTH), st.booleans(), SEEDS)
def test_the_best_are_those_of_sorting_all_rows_with_ties_to_smaller_ids(
    rows: int, k: int, dimensions: int, chunks: bool, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    best = by_hand(queries, ids, vectors, k, by_document=True, dimensions=dimensions)
    assert listed(hold(ids, vectors).search(queries, k, dimensions)) == best


@settings(max_examples=50)
@given(ROWS, K, st.integers(1, WIDTH - 1), st.booleans(), st.floats(0, 1), SEEDS)
def test_among_some_rows_the_best_are_those_of_a_matrix_of_these_rows_alone(
    rows: int, k: int, first: int, chunks: bool, share: float, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    chosen = np.random.default_rng(seed).random(rows) < share
    held = hold(ids, vectors)
    among = np.isin(held.rows.ids, np.array(ids)[chosen])
    alone = RowsInMemory(np.array(ids)[chosen].tolist(), [vectors[chosen]], WIDTH)
    funnel = Funnel(first, first + 1, k + 2)
    of_some = held.search(queries, k, first, among)
    assert listed(of_some) == listed(alone.search(queries, k, first))
    of_some = held.funnel(queries, k, funnel, among)
    assert listed(of_some) == listed(alone.funnel(queries, k, funnel))


@given(ROWS, st.integers(1, 5), st.booleans(), SEEDS)
def test_a_funnel_ranks_all_rows_of_its_candidates_by_more_dimensions(
    rows: int, k: int, chunks: bool, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    funnel = Funnel(4, 12, candidates=8)
    ranking = hold(ids, vectors).funnel(queries, k, funnel)
    assert listed(ranking) == funnel_by_hand(queries, ids, vectors, k, funnel)


def test_a_row_is_found_alike_alone_and_in_company_and_from_many_threads():
    ids, vectors, _ = make(500, 1, chunks=False)
    held, answers = hold(ids, vectors), {}

    def ask(line: int) -> None:
        answers[line] = held.search(vectors[line : line + 1], 5, 8).ids[0].tolist()

    threads = [threading.Thread(target=ask, args=(line,)) for line in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = held.search(vectors[:20], 5, 8)
    assert [answers[line] for line in range(20)] == together.ids.tolist()


def test_rows_of_zeros_score_zero_and_no_rows_give_no_documents():
    held = RowsInMemory(
        ["a", "b"], [np.zeros((1, WIDTH), np.float32), np.eye(1, WIDTH, dtype=np.float32)], WIDTH
    )
    ranking = held.search(np.eye(1, WIDTH, dtype=np.float32), 3, 4)
    assert ranking.ids.tolist() == [["b", "a", ""]]
    assert ranking.scores.tolist() == [[1, 0, -np.inf]]
    nothing = RowsInMemory([], [], WIDTH).search(np.eye(2, WIDTH, dtype=np.float32), 3, 4)
    assert nothing.ids.tolist() == [["", "", ""]] * 2


def test_what_cannot_be_searched_is_said():
    ids, vectors, queries = make(20, 2, chunks=False)
    held = hold(ids, vectors)
    with pytest.raises(ModelError, match="dimensions"):
        held.search(queries, 3, WIDTH + 1)
    with pytest.raises(ModelError, match="dimensions"):
        RowsInMemory(ids, [vectors], WIDTH, dimensions=(WIDTH + 1,))
    with pytest.raises(ConfigError, match="candidates"):
        held.funnel(queries, 9, Funnel(4, 8, candidates=8))
    vectors[3] = np.nan
    with pytest.raises(DataError, match="1 of 7 vectors hold NaN"):
        hold(ids, vectors)
