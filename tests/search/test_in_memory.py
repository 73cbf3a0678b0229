"""Search in a matrix that is held: what brute force in float64 gives, to the bit."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.errors import ConfigError, DataError, ModelError
from medembed.matryoshka import truncate
from medembed.schema import document_of
from medembed.search.float64_scores import pair_scores
from medembed.search.funnel import Funnel
from medembed.search.in_memory import RowsInMemory

WIDTH = 16


def make(rows: int, seed: int, *, chunks: int = 1) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(ids in no order, unit rows of which many are equal, 3 queries of which one is a row)."""
    generator = np.random.default_rng(seed)
    kinds = truncate(generator.normal(size=(max(1, rows // 3), WIDTH)).astype(np.float32), WIDTH)
    vectors = kinds[generator.integers(len(kinds), size=rows)]
    ids = [
        f"d{row // chunks}" + (f"#chunk-{row % chunks}" if chunks > 1 else "")
        for row in range(rows)
    ]
    queries = truncate(generator.normal(size=(3, WIDTH)).astype(np.float32), WIDTH)
    queries[0] = vectors[0]
    order = generator.permutation(rows)
    return [ids[row] for row in order], vectors[order], queries


def hold(ids: list[str], vectors: np.ndarray) -> RowsInMemory:
    return RowsInMemory(ids, np.array_split(vectors, 3), WIDTH, dimensions=(4, 8))


def brute_force(
    ids: list[str],
    vectors: np.ndarray,
    query: np.ndarray,
    k: int,
    dimensions: int,
    among: set[str] | None = None,
) -> list[tuple[str, str, float]]:
    """(document, row, score) of the k best documents, by sorting all rows."""
    rows = truncate(vectors, dimensions)
    lines = np.zeros(len(rows), dtype=np.int64)
    scores = pair_scores(truncate(query[None], dimensions), lines, rows, np.arange(len(rows)))
    best: dict[str, tuple[str, float]] = {}
    for score, document, row in sorted(
        zip((-scores).tolist(), map(document_of, ids), ids, strict=True)
    ):
        if among is None or document in among:
            best.setdefault(document, (row, -score))
    return sorted(
        ((name, *found) for name, found in best.items()), key=lambda one: (-one[2], one[0])
    )[:k]


def listed(ranking, line: int) -> list[tuple[str, str, float]]:
    found = zip(
        ranking.ids[line], ranking.row_ids[line], ranking.scores[line].tolist(), strict=True
    )
    return [(str(name), str(row), score) for name, row, score in found if name]


@settings(max_examples=50)
@given(
    st.integers(1, 90),
    st.integers(1, 12),
    st.integers(1, WIDTH),
    st.integers(1, 4),
    st.integers(0, 10_000),
)
def test_the_best_are_those_of_sorting_all_rows_with_ties_to_smaller_ids(
    rows: int, k: int, dimensions: int, chunks: int, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    found = hold(ids, vectors).search(queries, k, dimensions)
    for line, query in enumerate(queries):
        assert listed(found, line) == brute_force(ids, vectors, query, k, dimensions)


@settings(max_examples=50)
@given(
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, WIDTH),
    st.integers(1, 4),
    st.floats(0, 1),
    st.integers(0, 10_000),
)
def test_among_some_rows_the_best_are_those_of_a_matrix_of_these_rows_alone(
    rows: int, k: int, dimensions: int, chunks: int, share: float, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    chosen = np.random.default_rng(seed).random(rows) < share
    held = hold(ids, vectors)
    among = np.isin(held.rows.ids, np.array(ids)[chosen])
    alone = RowsInMemory(np.array(ids)[chosen].tolist(), [vectors[chosen]], WIDTH)
    funnel = Funnel(max(1, dimensions - 1), dimensions, k + 2)
    pairs = [
        (held.search(queries, k, dimensions, among), alone.search(queries, k, dimensions)),
        (held.search(queries, k, dimensions, among=None), held.search(queries, k, dimensions)),
    ]
    if dimensions > 1:
        pairs.append((held.funnel(queries, k, funnel, among), alone.funnel(queries, k, funnel)))
    for found, wanted in pairs:
        assert [listed(found, line) for line in range(3)] == [
            listed(wanted, line) for line in range(3)
        ]


@given(st.integers(1, 80), st.integers(1, 5), st.integers(1, 3), st.integers(0, 1000))
def test_a_funnel_ranks_all_rows_of_its_candidates_by_more_dimensions(
    rows: int, k: int, chunks: int, seed: int
):
    ids, vectors, queries = make(rows, seed, chunks=chunks)
    found = hold(ids, vectors).funnel(queries, k, Funnel(4, 12, candidates=8))
    for line, query in enumerate(queries):
        nominated = {name for name, *_ in brute_force(ids, vectors, query, 8, 4)}
        assert listed(found, line) == brute_force(ids, vectors, query, k, 12, nominated)


def test_a_row_is_found_alike_alone_and_in_company_and_from_many_threads():
    ids, vectors, _ = make(500, 1)
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
    found = held.search(np.eye(1, WIDTH, dtype=np.float32), 3, 4)
    assert found.ids.tolist() == [["b", "a", ""]]
    assert found.scores.tolist() == [[1, 0, -np.inf]]
    nothing = RowsInMemory([], [], WIDTH).search(np.eye(2, WIDTH, dtype=np.float32), 3, 4)
    assert nothing.ids.tolist() == [["", "", ""]] * 2


def test_what_cannot_be_searched_is_said():
    ids, vectors, queries = make(20, 2)
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
