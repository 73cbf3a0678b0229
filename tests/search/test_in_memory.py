"""Check that a search in memory gives what brute force in float64 gives, to the bit."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.bits import from_bits, measure_bits, to_bits
from medembed.codes import calibrate, from_int8, to_int8
from medembed.errors import ConfigError, DataError, ModelError
from medembed.matryoshka import truncate
from medembed.search.funnel import Funnel
from medembed.search.in_memory import Coded, RowsInMemory
from tests.search.by_hand import (
    Vectors,
    by_hand,
    codes_by_hand,
    draw,
    draw_corpus,
    funnel_by_hand,
    listed,
)

WIDTH = 20


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


def decoded(vectors: Vectors, codes: str) -> Vectors:
    """Return what codes of these vectors stand for."""
    if codes == "binary":
        levels = measure_bits([vectors])
        return from_bits(to_bits(vectors, levels), levels)
    ranges = calibrate(np.concatenate([vectors, -vectors]))
    return from_int8(to_int8(vectors, ranges), ranges)


def hold_codes(ids: list[str], vectors: Vectors, codes: str, *, fetches: bool) -> RowsInMemory:
    """Hold codes; `fetches`: the vectors rank, by the numbers of their rows."""
    if codes == "binary":
        ranges = measure_bits([vectors])
        numbers = to_bits(vectors, ranges)
    else:
        ranges = calibrate(np.concatenate([vectors, -vectors]))
        numbers = to_int8(vectors, ranges)
    coded = Coded(codes, ranges, vectors.__getitem__ if fetches else None)
    return RowsInMemory(ids, np.array_split(numbers, 3), WIDTH, (8,), coded)


@settings(max_examples=50)
@given(ROWS, K, st.integers(1, WIDTH), st.booleans(), st.sampled_from(["int8", "binary"]), SEEDS)
def test_codes_are_ranked_as_the_vectors_that_they_stand_for(
    rows: int, k: int, dimensions: int, chunks: bool, codes: str, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    held = hold_codes(ids, vectors, codes, fetches=False)
    best = by_hand(
        queries, ids, decoded(vectors, codes), k, by_document=True, dimensions=dimensions
    )
    assert listed(held.search(queries, k, dimensions)) == best


@settings(max_examples=50)
@given(
    ROWS, st.integers(1, 5), st.booleans(), st.sampled_from([5, 8, WIDTH]), st.floats(0, 1), SEEDS
)
def test_bits_nominate_the_nearest_and_what_is_finest_ranks_them(
    rows: int, k: int, chunks: bool, first: int, share: float, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    funnel = Funnel(first, WIDTH, candidates=6, first_codes="binary")
    best = codes_by_hand(queries, ids, vectors, k, funnel)
    assert listed(hold(ids, vectors).funnel(queries, k, funnel)) == best
    fetching = hold_codes(ids, vectors, "binary", fetches=True)
    assert listed(fetching.funnel(queries, k, funnel)) == best
    codes = hold_codes(ids, vectors, "int8", fetches=False)
    best = codes_by_hand(queries, ids, decoded(vectors, "int8"), k, funnel)
    assert listed(codes.funnel(queries, k, funnel)) == best
    alone = hold_codes(ids, vectors, "binary", fetches=False)
    everything = Funnel(first, WIDTH, candidates=rows + k, first_codes="binary")
    best = by_hand(queries, ids, decoded(vectors, "binary"), k, by_document=True)
    assert listed(alone.funnel(queries, k, everything)) == best

    chosen = np.random.default_rng(seed).random(rows) < share
    among = np.isin(fetching.rows.ids, np.array(ids)[chosen])
    names = np.array(ids)[chosen].tolist()
    of_some = codes_by_hand(queries, ids, vectors, k, funnel, names)
    assert listed(fetching.funnel(queries, k, funnel, among)) == of_some


@given(ROWS, st.booleans(), SEEDS)
def test_int8_codes_nominate_as_they_rank_and_the_vectors_rank(rows: int, chunks: bool, seed: int):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    held = hold_codes(ids, vectors, "int8", fetches=True)
    funnel = Funnel(8, WIDTH, candidates=6, first_codes="int8")
    lines = listed(held.funnel(queries, 4, funnel))
    nominated = by_hand(queries, ids, decoded(vectors, "int8"), 6, by_document=True, dimensions=8)
    for line, candidates in zip(lines, nominated, strict=True):
        assert {owner for owner, _, _ in line} <= {owner for owner, _, _ in candidates}
    everything = Funnel(8, WIDTH, candidates=rows + 4, first_codes="int8")
    assert listed(held.funnel(queries, 4, everything)) == by_hand(
        queries, ids, vectors, 4, by_document=True
    )


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


@pytest.mark.parametrize("codes", ["int8", "binary"])
def test_a_first_pass_by_codes_finds_for_many_queries_what_it_finds_for_each(codes: str):
    ids, vectors, _ = make(300, 3, chunks=True)
    held = hold_codes(ids, vectors, codes, fetches=True)
    funnel = Funnel(8, WIDTH, candidates=6, first_codes=codes)
    together = listed(held.funnel(vectors[:150], 3, funnel))
    alone = [listed(held.funnel(row[None], 3, funnel))[0] for row in vectors[:150]]
    assert together == alone


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
    with pytest.raises(ConfigError, match="first_codes: found int8, but no int8 codes are held"):
        held.funnel(queries, 3, Funnel(8, 16, first_codes="int8"))
    vectors[3] = np.nan
    with pytest.raises(DataError, match="1 of 7 vectors hold NaN"):
        hold(ids, vectors)
