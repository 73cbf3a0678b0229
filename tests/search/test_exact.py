from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.errors import ConfigError, DataError, ModelError, StorageError
from medembed.records import Records
from medembed.search import plan as planning
from medembed.search.exact import Lists, SearchStripe, nearest_rows, parents, prepare
from medembed.search.neighbours import Corpus, Neighbours, find_neighbours
from medembed.search.plan import Plan, cut, plan_work
from tests.alone import alone
from tests.search.test_funnel import Reader, draw
from tests.search.test_nominate import by_hand, draw_corpus, listed

SIZES = (300, 0, 41, 159, 200)
NOWHERE = Records("memory")  # where nothing is searched, nothing is recorded


def joined(parts: list[Neighbours]) -> list[object]:
    """What a caller would write: ids, rows and the bits of scores, query by query."""
    return [
        [ids, rows, scores.tobytes()]
        for part in parts
        for ids, rows, scores in zip(part.ids.tolist(), part.row_ids.tolist(), part.scores, strict=True)
    ]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("chunks", [False, True])
def test_workers_stripes_blocks_and_libraries_change_no_byte(
    chunks: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    ids, vectors = draw_corpus(700, 16, 7, chunks=chunks)
    queries, read = np.concatenate([draw(20, seed=1), vectors[:3]]), Reader(ids, vectors, SIZES)
    expected = by_hand(queries, ids, vectors, 15, by_document=chunks, dimensions=12)
    with alone():
        one = list(
            nearest_rows(read.shards, read, queries, 15, 12, Records(f"{tmp_path}/1"), by_document=chunks, workers=1)
        )
    assert [line for part in one for line in listed(part)] == expected
    for name, value in (("_QUERIES_PER_BLOCK", 7), ("_PART_BYTES", 16 * 4 * 100), ("_SCORES_PER_ITEM", 7 * 350)):
        monkeypatch.setattr(planning, name, value)
    plan = plan_work([(0, 300), (2, 41), (3, 159), (4, 200)], (23, 16), 15, 2)
    assert (plan.stripes, plan.blocks[-1]) == ([[[0]], [[2], [3]], [[4]]], (21, 23))
    records = Records(f"{tmp_path}/2")
    two = list(nearest_rows(read.shards, read, queries, 15, 12, records, by_document=chunks, workers=2, device="cpu"))
    assert len(two) == 4
    assert joined(two) == joined(one)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_row_that_is_not_finite_ends_the_search_with_its_id_and_no_trace(tmp_path: Path):
    ids, vectors = [f"d{number}" for number in range(700)], draw(700)
    vectors[555, 3] = np.inf
    read = Reader(ids, vectors, SIZES)
    with pytest.raises(StorageError, match=r"^row 'd555': its embedding is not finite[^\n]*$"):
        list(nearest_rows(read.shards, read, draw(2), 5, 8, Records(str(tmp_path))))


def test_a_corpus_without_rows_has_no_neighbours_and_needs_no_cluster():
    (found,) = nearest_rows([(0, 0)], lambda _: ([], draw(0)), draw(2), 3, 16, NOWHERE)
    assert found.ids.tolist() == [["", "", ""]] * 2
    assert found.scores.tolist() == [[-np.inf] * 3] * 2


def test_what_cannot_be_searched_is_refused_before_anything_starts():
    with pytest.raises(ModelError, match="from 1 to 16"):
        nearest_rows([(0, 1)], lambda _: ([], draw(0)), draw(1), 5, 32, NOWHERE)
    with pytest.raises(ConfigError, match="k: found 0, expected at least 1"):
        nearest_rows([(0, 1)], lambda _: ([], draw(0)), draw(1), 0, 16, NOWHERE)


def test_a_query_that_is_not_finite_is_numbered():
    queries = draw(9)
    queries[7, 0] = np.nan
    with pytest.raises(DataError, match="query 7: "):
        prepare(queries[4:], 16, 4)


def shape(plan: Plan) -> tuple[int, int, int]:
    """(stripes, blocks, queries of the largest block)."""
    return len(plan.stripes), len(plan.blocks), max(stop - start for start, stop in plan.blocks)


def test_work_is_cut_by_queries_where_they_are_many_and_by_rows_where_these_are():
    shards = [(number, 1024) for number in range(98)]  # 100,352 rows: one part of 160 MiB
    assert shape(plan_work(shards, (10_000, 384), 100, 2)) == (1, 4, 2500)
    assert shape(plan_work(shards, (1_000_000, 384), 100, 2)) == (1, 62, 16_384)
    assert shape(plan_work(shards, (50_000, 384), 1000, 2)) == (1, 13, 4000)  # 4 million scores
    assert shape(plan_work(shards, (100, 384), 10, 2)) == (4, 1, 100)
    stripes, blocks, _ = shape(plan_work(shards, (10_000, 384), 100, 64))  # not 64 workers that read all
    assert 1 < stripes < blocks
    plan = plan_work([(number, 8192) for number in range(123)], (2000, 384), 100, 2)
    assert shape(plan) == (4, 1, 2000)
    assert [shard for stripe in plan.stripes for part in stripe for shard in part] == list(range(123))
    assert {len(stripe) for stripe in plan.stripes} == {3}  # parts
    huge = plan_work([(number, 1_000_000) for number in range(100)], (1_000_000, 384), 100, 2)
    assert shape(huge)[0] == 100  # an item of minutes, not of hours


class Counting(Reader):
    """Counts how often a shard is read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.reads: list[int] = []

    def __call__(self, shard: int) -> tuple[list[str], np.ndarray]:
        self.reads.append(shard)
        return super().__call__(shard)


def test_a_worker_reads_a_part_once_for_consecutive_items(tmp_path: Path):
    ids, vectors = draw_corpus(700, 16, 7, chunks=False)
    read = Counting(ids, vectors, SIZES)
    plan = Plan([[[0, 2]], [[3], [4]]], [(0, 3), (3, 6)])
    lists = Lists(Records(str(tmp_path)), "search", plan, 5, 16, by_document=False)
    for block in (0, 1):
        lists.keep_queries(block, draw(6))
    stage = SearchStripe(read, lists, device=None)
    for block, stripe in ((0, 0), (1, 0), (0, 1), (1, 1)):
        stage({"block": block, "stripe": stripe})
    assert read.reads == [0, 2, 3, 4, 3, 4]


def draw_lists(folder: Path, stripes: int, *, chunks: bool = False) -> tuple[Lists, SearchStripe, Counting]:
    """A search of 3 queries in so many stripes of 41 rows and more, whose worker is at hand."""
    ids, vectors = draw_corpus(700, 16, 7, chunks=chunks)
    read = Counting(ids, vectors, (700 - 41 * (stripes - 1), *[41] * (stripes - 1)))
    plan = Plan([[[stripe]] for stripe in range(stripes)], [(0, 3)])
    lists = Lists(Records(str(folder)), "search", plan, 5, 16, by_document=chunks)
    lists.keep_queries(0, draw(3, seed=1))
    return lists, SearchStripe(read, lists, device=None), read


@pytest.mark.parametrize("chunks", [False, True])
def test_stripes_are_merged_in_a_tree_by_whoever_ends_last(chunks: bool, tmp_path: Path):
    expected, one, _ = draw_lists(tmp_path / "1", 1, chunks=chunks)
    one({"block": 0, "stripe": 0})
    lists, stage, _ = draw_lists(tmp_path / "5", 5, chunks=chunks)
    for stripe in (3, 0, 4, 1):
        stage({"block": 0, "stripe": stripe})
        assert not lists.has(0, 0, 5)
    assert [lists.has(0, *node) for node in ((0, 2), (3, 5), (2, 5))] == [True, True, False]
    stage({"block": 0, "stripe": 2})
    assert lists.has(0, 2, 5)
    assert lists.has(0, 0, 5)
    merged = lists.read(0, 0, 5)
    assert joined([merged]) == joined([expected.read(0, 0, 1)])
    assert set(merged.names) == set(merged.row_ids.ravel()), "no name of what is in no list any more"


def test_a_rerun_does_only_what_is_not_recorded(tmp_path: Path):
    lists, stage, _ = draw_lists(tmp_path, 5)
    for stripe in (0, 1, 4):
        stage({"block": 0, "stripe": stripe})
    assert lists.todo() == [{"block": 0, "stripe": 2}, {"block": 0, "stripe": 3}]
    lists.records.write("other", {})
    (Path(lists.records.uri) / f"{lists._place(0, 0, 1)}.npz").unlink()  # its parent says the same
    assert lists.todo() == [{"block": 0, "stripe": 2}, {"block": 0, "stripe": 3}]
    _, again, read = draw_lists(tmp_path, 5)
    for item in [*lists.todo(), {"block": 0, "stripe": 4}]:
        again(item)
    assert read.reads == [2, 3]
    assert lists.todo() == []


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_recorded_lists_answer_the_same_search_alone(tmp_path: Path):
    ids, vectors = draw_corpus(700, 16, 7, chunks=False)
    read, records = Reader(ids, vectors, SIZES), Records(str(tmp_path))
    first = joined(list(nearest_rows(read.shards, read, draw(3), 5, 16, records)))
    held = records.names()
    assert joined(list(nearest_rows(read.shards, read, draw(3), 5, 16, records))) == first
    assert records.names() == held
    for queries, k, dimensions in ((draw(3, seed=2), 5, 16), (draw(3), 6, 16), (draw(3), 5, 8)):
        list(nearest_rows(read.shards, read, queries, k, dimensions, records))
        assert not records.names() <= held
        held = records.names()


def test_a_merged_node_is_above_both_of_its_halves():
    assert parents(0, 1) == []
    assert parents(2, 5) == [(2, 5), (0, 5)]
    assert parents(3, 5) == [(3, 5), (2, 5), (0, 5)]


def test_groups_of_shards_have_about_the_size_asked_for_and_lose_none():
    groups = cut([("a", 10), ("b", 3), ("c", 3), ("d", 3), ("e", 30), ("f", 1)], 10)
    assert groups == [[("a", 10)], [("b", 3), ("c", 3), ("d", 3)], [("e", 30)], [("f", 1)]]
    assert cut([], 5) == []


def test_best_lists_are_recorded_as_they_are(tmp_path: Path):
    ids, vectors = draw_corpus(50, 8, 1, chunks=True)
    found = find_neighbours(draw(3, 8), Corpus.of([(ids, vectors)], 8, by_document=True), 60)
    lists = Lists(Records(str(tmp_path)), "search", Plan([[[0]]], [(0, 3), (3, 6)]), 60, 8, by_document=True)
    lists.keep(0, 0, 1, found)
    again = lists.read(0, 0, 1)
    assert joined([again]) == joined([found])
    assert again.owners is not None
    plain = find_neighbours(draw(3, 8), Corpus.of([(ids, vectors)], 8, by_document=False), 60)
    lists.keep(1, 0, 1, plain)
    assert lists.read(1, 0, 1).owners is None
