from contextlib import nullcontext

import numpy as np
import pytest

from medembed.errors import ModelError
from medembed.matryoshka import truncate
from medembed.search.sharded import Pairs, scan_shards, search_shards
from medembed.search.topk import top_k
from tests.alone import alone

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def test_shards_and_workers_change_nothing_at_any_dimension():
    generator = np.random.default_rng(0)
    documents = truncate(generator.normal(size=(90, 16)).astype(np.float32), 16)
    queries = truncate(generator.normal(size=(7, 16)).astype(np.float32), 16)
    ids = [f"d{number:02d}" for number in range(90)]

    def read(start: int) -> tuple[list[str], np.ndarray]:
        return ids[start : start + 30], documents[start : start + 30]

    for workers, where in ((1, alone()), (2, nullcontext())):
        with where:
            found = search_shards([(0, 30), (30, 30), (60, 30)], read, queries, 5, [16, 4], workers=workers)
        for dimension in (16, 4):
            expected = top_k(truncate(queries, dimension), np.asarray(ids), truncate(documents, dimension), 5)
            assert found[dimension].ids.tolist() == expected.ids.tolist()
            assert np.allclose(found[dimension].scores, expected.scores, atol=1e-6)


@pytest.mark.usefixtures("no_actors")
def test_the_cosine_of_any_pair_is_found_however_low_it_ranks():
    generator = np.random.default_rng(1)
    documents = truncate(generator.normal(size=(60, 8)).astype(np.float32), 8)
    queries = truncate(generator.normal(size=(5, 8)).astype(np.float32), 8)

    def read(start: int) -> tuple[list[str], np.ndarray]:
        return [f"d{number}" for number in range(start, start + 20)], documents[start : start + 20]

    lines, numbers = generator.integers(0, 5, size=40), generator.integers(0, 60, size=40)
    asked = Pairs(lines, np.array([f"d{number}" for number in numbers]))
    found = scan_shards([(0, 20), (20, 20), (40, 20)], read, queries, 1, [8, 3], pairs=asked)
    for dimension in (8, 3):
        left, right = truncate(queries, dimension)[lines], truncate(documents, dimension)[numbers]
        expected = np.einsum("ij,ij->i", left.astype(np.float64), right.astype(np.float64))
        assert np.allclose(found.cosines[dimension], expected, atol=1e-15)


@pytest.mark.usefixtures("no_actors")
def test_a_documents_chunks_in_different_shards_count_once():
    ids = ["a#chunk-0", "b#chunk-0", "c", "b#chunk-1", "a#chunk-1", "d"]
    rows = np.array([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [-0.6, 0.8]], dtype=np.float32)

    def read(start: int) -> tuple[list[str], np.ndarray]:
        return ids[start : start + 2], rows[start : start + 2]

    query = np.array([[1.0, 0.0]], dtype=np.float32)
    asked = Pairs(np.zeros(4, np.int64), np.array(["b", "d", "nowhere", "a"]))
    scan = scan_shards([(0, 2), (2, 2), (4, 2)], read, query, 3, [2, 1], pairs=asked, by_document=True)
    assert np.allclose(scan.cosines[2], [1.0, -0.6, np.nan, 0.6], equal_nan=True)
    assert np.array_equal(scan.cosines[1], [1.0, -1.0, np.nan, 1.0], equal_nan=True)
    found = scan.rankings
    assert found[2].ids.tolist() == [["b", "a", "c"]]
    assert found[2].row_ids.tolist() == [["b#chunk-1", "a#chunk-0", "c"]]
    assert np.allclose(found[2].scores, [[1.0, 0.6, 0.0]])
    assert found[1].row_ids.tolist() == [["a#chunk-0", "b#chunk-0", "c"]]  # all 1 or 0: ties go to smaller ids


def test_a_dimension_above_the_width_is_refused_before_anything_starts():
    with pytest.raises(ModelError, match="from 1 to 16"):
        search_shards([(0, 1)], lambda _: ([], np.empty((0, 16), np.float32)), np.ones((1, 16), np.float32), 5, [32])
