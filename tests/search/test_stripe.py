from pathlib import Path

import numpy as np
import pytest

from medembed.errors import DataError
from medembed.records import Records
from medembed.search.corpus import Pairs
from medembed.search.lists import Asked, Lists
from medembed.search.plan import SearchPlan
from medembed.search.shards import Blocks
from medembed.search.stripe import SearchStripe, prepare
from tests.search.by_hand import draw, draw_corpus
from tests.search.test_lists import Counting

NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.str_))


def test_a_query_that_is_not_finite_is_numbered():
    queries = draw(9)
    queries[7, 0] = np.nan
    with pytest.raises(DataError, match="query 7: "):
        prepare(Blocks(queries, NO_PAIRS, SearchPlan([], [(4, 9)]))(0), 16)


def test_a_worker_reads_a_part_once_for_consecutive_items(tmp_path: Path):
    ids, vectors = draw_corpus(700, 16, 7, chunks=False)
    read = Counting(ids, vectors, (300, 0, 41, 159, 200))
    plan = SearchPlan([[[0, 2]], [[3], [4]]], [(0, 3), (3, 6)])
    lists = Lists(Records(str(tmp_path)), "search", plan, Asked(5, (16,), False))
    stage = SearchStripe(read, lists, Blocks(draw(6), NO_PAIRS, plan), device=None)
    for block, stripe in ((0, 0), (1, 0), (0, 1), (1, 1)):
        stage({"block": block, "stripe": stripe})
    assert read.reads == [0, 2, 3, 4, 3, 4]
