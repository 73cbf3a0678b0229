"""Merge lists of stripes in a tree, record them, and find them again in a rerun."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.records import Records, unpack
from medembed.search.corpus import Pairs, SortedCorpus, score_pairs, search_corpus
from medembed.search.lists import Answer, Asked, Lists, parents
from medembed.search.plan import SearchPlan
from medembed.search.shards import Blocks
from medembed.search.stripe import SearchStripe
from tests.search.by_hand import Reader, draw, draw_corpus


def joined(answers: list[Answer]) -> list[object]:
    """Return ids, rows and the bits of scores, query by query and pair by pair."""
    written: list[object] = []
    for answer in answers:
        for ranking in [*answer.rankings.values(), *answer.pairs.values()]:
            written += [ranking.ids.tolist(), ranking.row_ids.tolist(), ranking.scores.tobytes()]
    return written


class Counting(Reader):
    """A reader that counts how often a shard is read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.reads: list[int] = []

    def __call__(self, shard: int) -> tuple[list[str], np.ndarray]:
        self.reads.append(shard)
        return super().__call__(shard)


def draw_lists(
    folder: Path, stripes: int, *, chunks: bool = False
) -> tuple[Lists, SearchStripe, Counting]:
    """Draw a search of 3 queries in stripes of 41 rows and more, and a worker for it."""
    ids, vectors = draw_corpus(700, 16, 7, chunks=chunks)
    read = Counting(ids, vectors, (700 - 41 * (stripes - 1), *[41] * (stripes - 1)))
    plan = SearchPlan([[[stripe]] for stripe in range(stripes)], [(0, 3)])
    lists = Lists(Records(str(folder)), "search", plan, Asked(5, (16, 4), chunks))
    pairs = Pairs(np.arange(3), np.array([ids[7], ids[650], "nowhere"]))
    return lists, SearchStripe(read, lists, Blocks(draw(3, seed=1), pairs, plan), device=None), read


@pytest.mark.parametrize("chunks", [False, True])
def test_stripes_are_merged_in_a_tree_by_whoever_ends_last(chunks: bool, tmp_path: Path):
    expected, whole, _ = draw_lists(tmp_path / "1", 1, chunks=chunks)
    whole({"block": 0, "stripe": 0})
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
    for ranking in merged.rankings.values():
        assert set(ranking.names) == set(ranking.row_ids.ravel()), (
            "no name of what is in no list any more"
        )


def test_a_rerun_does_only_what_is_not_recorded(tmp_path: Path):
    lists, stage, _ = draw_lists(tmp_path, 5)
    for stripe in (0, 1, 4):
        stage({"block": 0, "stripe": stripe})
    assert lists.todo() == [{"block": 0, "stripe": 2}, {"block": 0, "stripe": 3}]
    assert lists.records is not None
    lists.records.write("other", {})
    (Path(lists.records.uri) / f"{lists._name(0, 0, 1)}.npz").unlink()  # its parent says the same
    assert lists.todo() == [{"block": 0, "stripe": 2}, {"block": 0, "stripe": 3}]
    _, again, read = draw_lists(tmp_path, 5)
    for item in [*lists.todo(), {"block": 0, "stripe": 4}]:
        again(item)
    assert read.reads == [2, 3]
    assert lists.todo() == []


def test_a_merged_node_is_above_both_of_its_halves():
    assert parents(0, 1) == []
    assert parents(2, 5) == [(2, 5), (0, 5)]
    assert parents(3, 5) == [(3, 5), (2, 5), (0, 5)]


def test_best_lists_are_recorded_or_sent_as_they_are(tmp_path: Path):
    ids, vectors = draw_corpus(50, 8, 1, chunks=True)
    plan = SearchPlan([[[0]]], [(0, 3), (3, 6)])
    queries, pairs = draw(3, 8), Pairs(np.array([0, 2]), np.array([ids[4], "nowhere"]))
    for chunks in (True, False):
        corpus = SortedCorpus.of([(ids, vectors)], [8], by_document=chunks)
        answer = Answer(
            3, 6, {8: search_corpus(queries, corpus, 60)}, {8: score_pairs(queries, corpus, pairs)}
        )
        recorded = Lists(
            Records(str(tmp_path / str(chunks))), "search", plan, Asked(60, (8,), chunks)
        )
        assert recorded.keep(1, 0, 1, answer) == b""
        sent = Lists(None, "", plan, Asked(60, (8,), chunks))
        for again in (recorded.read(1, 0, 1), sent.unpacked(1, unpack(sent.keep(1, 0, 1, answer)))):
            assert (again.start, again.stop) == (3, 6)
            assert joined([again]) == joined([answer])
            assert (again.rankings[8].owners is None) != chunks
