"""Search by an index that keeps Lance's promise: the first n rows of each query, best first."""

import numpy as np
import numpy.typing as npt
import pytest

from medembed.search.corpus import top_k
from medembed.search.indexed import Hits, index_search
from tests.search.by_hand import draw

Vectors = npt.NDArray[np.float32]


class Nearest:
    """An index that misses only the rows it is told to, and counts what it is asked."""

    def __init__(self, ids: list[str], vectors: Vectors, missing: tuple[str, ...] = ()) -> None:
        kept = [row for row, name in enumerate(ids) if name not in missing]
        self.ids, self.vectors = [ids[row] for row in kept], vectors[kept]
        self.asked: list[tuple[int, int]] = []

    def __call__(self, queries: Vectors, rows: int) -> Hits:
        self.asked.append((len(queries), rows))
        ranking = top_k(queries, self.ids, self.vectors, min(rows, len(self.ids)))
        return list(zip(ranking.ids.tolist(), ranking.scores.astype(np.float32), strict=True))


def test_documents_rank_by_their_best_chunk_and_more_rows_are_asked_for_where_chunks_crowd_them_out():
    ids = [f"a#chunk-{number}" for number in range(9)] + ["b", "c#chunk-0", "c#chunk-1", "d"]
    cosines = [*np.linspace(0.99, 0.91, 9), 0.5, 0.4, 0.6, -0.2]
    vectors = np.array([[cosine, np.sqrt(1 - cosine**2)] for cosine in cosines], np.float32)
    queries = np.array([[1, 0], [-1, 0]], np.float32)
    nearest = Nearest(ids, vectors)
    ranking = index_search(nearest, queries, 3, by_document=True)
    exact = top_k(queries, ids, vectors, 3, by_document=True)
    assert ranking.ids.tolist() == exact.ids.tolist() == [["a", "c", "b"], ["d", "c", "b"]]
    assert ranking.row_ids.tolist() == [["a#chunk-0", "c#chunk-1", "b"], ["d", "c#chunk-0", "b"]]
    assert np.allclose(ranking.scores, [[0.99, 0.6, 0.5], [0.2, -0.4, -0.5]])
    # the second query's first rows are of three documents
    assert nearest.asked == [(2, 3), (1, 12)]


@pytest.mark.parametrize("by_document", [False, True])
def test_fewer_rows_than_wanted_leave_empty_places_and_no_endless_search(by_document: bool):
    ids, vectors, queries = ["b#chunk-0", "b#chunk-1", "a"], draw(3), draw(2, seed=1)
    nearest = Nearest(ids, vectors)
    ranking = index_search(nearest, queries, 5, by_document=by_document)
    exact = top_k(queries, ids, vectors, 5, by_document=by_document)
    assert ranking.ids.tolist() == exact.ids.tolist()
    assert ranking.row_ids.tolist() == exact.row_ids.tolist()
    assert ranking.scores.tolist() == exact.scores.astype(np.float32).tolist()
    assert nearest.asked == [(2, 5)]
    assert index_search(nearest, queries[:0], 5, by_document=by_document).ids.shape == (0, 5)


def test_ties_go_to_the_smaller_id_of_document_and_chunk():
    ids = ["b", "a#chunk-1", "c", "a#chunk-0"]
    ranking = index_search(Nearest(ids, np.tile(draw(1), (4, 1))), draw(1), 3, by_document=True)
    assert ranking.ids.tolist() == [["a", "b", "c"]]
    assert ranking.row_ids.tolist() == [["a#chunk-0", "b", "c"]]
