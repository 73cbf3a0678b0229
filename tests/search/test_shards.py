"""Check that a search has the same bytes whatever the workers, stripes, blocks and libraries."""

from pathlib import Path

import numpy as np
import pytest

from medembed.errors import ConfigError, ModelError, StorageError
from medembed.matryoshka import truncate
from medembed.records import Records
from medembed.search import plan as planning
from medembed.search import shards as searching
from medembed.search.corpus import Pairs, top_k
from medembed.search.plan import plan_work
from medembed.search.shards import rank_shards, search_shards
from tests.search.by_hand import Reader, by_hand, draw, draw_corpus, listed
from tests.search.test_lists import joined

SIZES = (300, 0, 41, 159, 200)
NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.str_))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(("chunks", "is_recorded"), [(False, True), (True, False)])
def test_workers_stripes_blocks_libraries_and_records_change_no_byte(
    chunks: bool, is_recorded: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    ids, vectors = draw_corpus(700, 16, 7, chunks=chunks)
    queries = np.concatenate([draw(20, seed=1), vectors[:3]])
    read = Reader(ids, vectors, SIZES)
    pairs = Pairs(np.array([2, 9, 21]), np.array([ids[450], "nowhere", ids[3]]))
    here = list(
        search_shards(read.shards, read, queries, 15, [12, 5], pairs=pairs, by_document=chunks)
    )
    for dimension in (12, 5):
        expected = by_hand(queries, ids, vectors, 15, by_document=chunks, dimensions=dimension)
        assert [line for part in here for line in listed(part.rankings[dimension])] == expected
    for name, value in (
        ("_QUERIES_PER_BLOCK", 7),
        ("_PART_BYTES", 17 * 4 * 100),
        ("_SCORES_PER_ITEM", 7 * 350),
    ):
        monkeypatch.setattr(planning, name, value)
    monkeypatch.setattr(searching, "_ROWS_HERE", 0)
    plan = plan_work([(0, 300), (2, 41), (3, 159), (4, 200)], 23, 17, 30, 2)
    assert (plan.stripes, plan.blocks[-1]) == ([[[0]], [[2], [3]], [[4]]], (21, 23))
    records = Records(str(tmp_path)) if is_recorded else None
    answers = list(
        search_shards(
            read.shards,
            read,
            queries,
            15,
            [12, 5],
            pairs=pairs,
            by_document=chunks,
            records=records,
            device="cpu",
        )
    )
    assert [(answer.start, answer.stop) for answer in answers] == plan.blocks
    for dimension in (12, 5):
        lines = [line for answer in answers for line in listed(answer.rankings[dimension])]
        assert lines == by_hand(queries, ids, vectors, 15, by_document=chunks, dimensions=dimension)
        scored = [line for answer in answers for line in listed(answer.pairs[dimension])]
        assert scored == listed(here[0].pairs[dimension])


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_row_that_is_not_finite_ends_the_search_with_its_id_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ids, vectors = [f"d{number}" for number in range(700)], draw(700)
    vectors[555, 3] = np.inf
    read = Reader(ids, vectors, SIZES)
    monkeypatch.setattr(searching, "_ROWS_HERE", 0)
    with pytest.raises(StorageError, match=r"^row 'd555': its embedding is not finite[^\n]*$"):
        list(search_shards(read.shards, read, draw(2), 5, [8], records=Records(str(tmp_path))))


def test_a_corpus_without_rows_has_no_neighbours_and_needs_no_cluster():
    pairs = Pairs(np.array([1]), np.array(["a"]))
    (answer,) = search_shards([(0, 0)], lambda _: ([], draw(0)), draw(2), 3, [16], pairs=pairs)
    assert answer.rankings[16].ids.tolist() == [["", "", ""]] * 2
    assert answer.rankings[16].scores.tolist() == [[-np.inf] * 3] * 2
    assert answer.pairs[16].ids.tolist() == [[""]]
    assert rank_shards([(0, 2)], lambda _: (["a", "b"], draw(2)), draw(0), 3, [16])[
        16
    ].ids.shape == (0, 3)


def test_what_cannot_be_searched_is_refused_before_anything_starts():
    with pytest.raises(ModelError, match="from 1 to 16"):
        search_shards([(0, 1)], lambda _: ([], draw(0)), draw(1), 5, [32])
    with pytest.raises(ConfigError, match="k: found 0, expected at least 1"):
        search_shards([(0, 1)], lambda _: ([], draw(0)), draw(1), 0, [16])


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_recorded_lists_answer_the_same_search_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(searching, "_ROWS_HERE", 0)
    ids, vectors = draw_corpus(700, 16, 7, chunks=False)
    read = Reader(ids, vectors, SIZES)
    records = Records(str(tmp_path))

    def search(
        queries: np.ndarray, k: int, dimensions: int, pairs: Pairs | None = None
    ) -> list[object]:
        return joined(
            list(
                search_shards(
                    read.shards, read, queries, k, [dimensions], pairs=pairs, records=records
                )
            )
        )

    first = search(draw(3), 5, 16)
    names = records.names()
    assert search(draw(3), 5, 16) == first
    assert records.names() == names
    pairs = Pairs(np.array([1]), np.array(["d1"]))
    for changed in (
        (draw(3, seed=2), 5, 16),
        (draw(3), 6, 16),
        (draw(3), 5, 8),
        (draw(3), 5, 16, pairs),
    ):
        search(*changed)
        assert not records.names() <= names
        names = records.names()


@pytest.mark.usefixtures("no_actors")
def test_the_cosine_of_any_pair_is_found_however_low_it_ranks():
    generator = np.random.default_rng(1)
    documents = draw(60, 8)
    queries = draw(5, 8, seed=1)
    ids = [f"d{number}" for number in range(60)]
    read = Reader(ids, documents, (20, 20, 20))
    lines = generator.integers(0, 5, size=40)
    numbers = generator.integers(0, 60, size=40)
    pairs = Pairs(lines, np.array(ids)[numbers])
    (answer,) = search_shards(read.shards, read, queries, 0, [8, 3], pairs=pairs)
    assert answer.rankings == {}
    for dimension in (8, 3):
        left = truncate(queries, dimension)[lines]
        right = truncate(documents, dimension)[numbers]
        expected = np.einsum("ij,ij->i", left.astype(np.float64), right.astype(np.float64))
        assert np.allclose(answer.pairs[dimension].scores[:, 0], expected, atol=1e-15)


def test_a_documents_chunks_in_different_shards_count_once():
    ids = ["a#chunk-0", "b#chunk-0", "c", "b#chunk-1", "a#chunk-1", "d"]
    rows = np.array(
        [[0.6, 0.8], [0.8, 0.6], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [-0.6, 0.8]], dtype=np.float32
    )
    read = Reader(ids, rows, (2, 2, 2))
    query = np.array([[1.0, 0.0]], dtype=np.float32)
    asked = Pairs(np.zeros(4, np.int64), np.array(["b", "d", "nowhere", "a"]))
    (answer,) = search_shards(read.shards, read, query, 3, [2, 1], pairs=asked, by_document=True)
    assert np.allclose(answer.pairs[2].scores[:, 0], [1.0, -0.6, -np.inf, 0.6])
    assert answer.pairs[1].scores[:, 0].tolist() == [1.0, -1.0, -np.inf, 1.0]
    rankings = answer.rankings
    assert rankings[2].ids.tolist() == [["b", "a", "c"]]
    assert rankings[2].row_ids.tolist() == [["b#chunk-1", "a#chunk-0", "c"]]
    assert np.allclose(rankings[2].scores, [[1.0, 0.6, 0.0]])
    # all 1 or 0: ties go to smaller ids
    assert rankings[1].row_ids.tolist() == [["a#chunk-0", "b#chunk-0", "c"]]


def test_all_lists_are_put_together_in_the_order_of_the_queries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(planning, "_FEWEST_QUERIES", 2)
    ids, vectors = draw_corpus(90, 8, 3, chunks=False)
    read = Reader(ids, vectors, (40, 50))
    assert len(plan_work(read.shards, 5, 8, 4, 2).blocks) > 1
    rankings = rank_shards(read.shards, read, draw(5, 8), 4, [8, 2])
    for dimension in (8, 2):
        expected = top_k(draw(5, 8), ids, vectors, 4, dimension)
        assert rankings[dimension].ids.tolist() == expected.ids.tolist()
        assert rankings[dimension].scores.tobytes() == expected.scores.tobytes()
