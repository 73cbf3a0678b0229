"""Compare best lists with a brute-force search in pure Python, over all that must not matter."""

from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.search import corpus as searching
from medembed.search import nominate
from medembed.search.corpus import SortedCorpus, search_corpus
from medembed.search.float64_scores import error_bound, unit_rows
from medembed.search.multiply import Library, NumpyMatrix, NumpyProducts, Products, TorchMatrix
from medembed.search.nominate import Nominees, best_rows
from medembed.search.ranking import Ranking, merge
from tests.search.by_hand import Vectors, by_hand, draw_corpus, listed


class Erring(NumpyProducts):
    """Products that err, at random and now and then by nearly all that the bound allows."""

    def _write(self, out: Vectors, start: int, stop: int) -> None:
        exact = self.queries.astype(np.float64) @ self.vectors[start:stop].astype(np.float64).T
        drawn = np.random.default_rng([start, stop])
        error = 0.85 * error_bound(self.queries.shape[1])  # float32 itself adds the rest
        out[:] = exact + error * np.clip(drawn.normal(size=exact.shape), -1, 1)


class ErringMatrix(NumpyMatrix):
    def products(self, queries: Vectors) -> Products:
        return Erring(self.vectors, self.block, queries)


LIBRARIES: dict[str, Library] = {"NumPy": NumpyMatrix, "torch": TorchMatrix, "erring": ErringMatrix}


def search(
    queries: Vectors,
    ids: list[str],
    vectors: Vectors,
    k: int,
    shards: int,
    library: Library,
    chunks: bool,
) -> Ranking:
    """Search shard after shard; of more than two, with the worst score so far as the floor."""
    asked, width = unit_rows(queries, queries.shape[1])[0], vectors.shape[1]
    best = None
    for part in np.array_split(np.arange(len(ids)), shards):
        corpus = SortedCorpus.of(
            [([ids[row] for row in part], vectors[part])], [width], by_document=chunks
        )
        worst = None if shards == 2 else best
        ranking = search_corpus(asked, corpus, k, worst=worst, library=library)
        best = ranking if best is None else merge(best, ranking, k, by_document=chunks)
    assert best is not None
    return best


@settings(max_examples=80)
@given(
    rows=st.integers(1, 90),
    k=st.sampled_from([1, 3, 10, 60]),
    shards=st.sampled_from([1, 2, 7, 64]),
    block=st.sampled_from([1, 5, 16, 1024]),
    at_once=st.sampled_from([1, 3, 1024]),
    slack=st.sampled_from([0, 2, 128]),
    library=st.sampled_from(sorted(LIBRARIES)),
    width=st.sampled_from([2, 9, 70]),
    chunks=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_shards_blocks_libraries_and_any_error_within_the_bound_change_nothing(
    rows: int,
    k: int,
    shards: int,
    block: int,
    at_once: int,
    slack: int,
    library: str,
    width: int,
    chunks: bool,
    seed: int,
):
    ids, vectors = draw_corpus(rows, width, seed, chunks=chunks)
    queries = np.concatenate([vectors[:2], draw_corpus(3, width, seed + 1, chunks=False)[1]])
    with (
        patch.object(searching, "_QUERIES_AT_ONCE", at_once),
        patch.object(nominate, "_SLACK", slack),
    ):
        ranking = search(
            queries, ids, vectors, k, shards, partial(LIBRARIES[library], block=block), chunks
        )
    assert listed(ranking) == by_hand(queries, ids, vectors, k, by_document=chunks)


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("library", sorted(LIBRARIES))
@pytest.mark.parametrize("apart", [0.0, 2e-7])
def test_a_thousand_equal_or_nearly_equal_documents_fill_no_memory(
    library: str, apart: float, chunks: bool
):
    drawn = np.random.default_rng(3)
    vectors = drawn.normal(size=(1300, 24)).astype(np.float32)
    equal = drawn.permutation(1300)[:1000]
    vectors[equal] = vectors[equal[0]] + (apart * drawn.normal(size=(1000, 24))).astype(np.float32)
    ids = [f"d{number:04d}" + ("#chunk-0" if chunks else "") for number in drawn.permutation(1300)]
    queries = np.concatenate(
        [vectors[equal[:1]], -vectors[equal[:1]], drawn.normal(size=(2, 24)).astype(np.float32)]
    )
    crowded = []
    search_crowded = nominate._search_crowded

    def count(asked: Vectors, *rest: Any) -> Any:
        crowded.append(len(asked))
        return search_crowded(asked, *rest)

    with patch.object(nominate, "_search_crowded", count):
        ranking = search(
            queries, ids, vectors, 10, 1, partial(LIBRARIES[library], block=256), chunks
        )
    assert sum(crowded) >= 1  # the query that is equal to them
    assert listed(ranking) == by_hand(queries, ids, vectors, 10, by_document=chunks)
    if not apart:
        assert ranking.row_ids[0].tolist() == sorted(ids[row] for row in equal)[:10]


def test_the_float32_order_alone_would_be_wrong():
    """The corpora above put rows into the window whose float32 order is another."""
    ids, vectors = draw_corpus(400, 9, 5, chunks=False)
    rows, order = unit_rows(vectors, 9)[0], np.argsort(ids)
    exact = by_hand(vectors[:20], ids, vectors, 50, by_document=False)
    scores = rows[:20] @ rows[order].T
    plain = np.asarray(ids)[order][np.argsort(-scores, axis=1, kind="stable")[:, :50]]
    names = [[name for name, _, _ in line] for line in exact]
    differing = [line for line, other in zip(names, plain.tolist(), strict=True) if line != other]
    assert len(differing) > 5


def test_a_row_in_the_window_is_kept_and_one_below_it_is_not():
    nominees = Nominees(1, 2, 0.25, None, np.full(1, -np.inf, np.float32))
    values = np.array([0.5, 1.0, 0.75, 0.5, 0.49, 0.8], np.float32)
    nominees.add(np.zeros(6, np.int64), np.arange(6), values)
    lines, rows = nominees.finish()
    # The second best is 0.8: 0.55 and more stay.
    assert (lines.tolist(), rows.tolist()) == ([0, 0, 0], [1, 2, 5])


def test_of_chunks_those_near_their_documents_best_stay_and_documents_count_once():
    document = np.array([0, 0, 0, 1, 1, 2])
    nominees = Nominees(1, 2, 0.1, document, np.full(1, -np.inf, np.float32))
    values = np.array([0.9, 0.7, 0.85, 0.6, 0.55, 0.2], np.float32)
    nominees.add(np.zeros(6, np.int64), np.arange(6), values)
    # Documents score 0.9, 0.6, 0.2: the floor is 0.5, and within a document 0.1 below its best.
    assert nominees.finish()[1].tolist() == [0, 2, 3, 4]


def test_scores_below_the_worst_that_counts_may_be_left_out_but_equal_ones_are_not():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    rows, scores = best_rows(query, NumpyMatrix(vectors), 3, None, np.array([float(vectors[1, 0])]))
    assert rows.tolist() == [[0, 1, -1]]
    assert scores.tolist() == [[1.0, float(np.float32(0.6)), -np.inf]]
    assert error_bound(2) < 1e-6
