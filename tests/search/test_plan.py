from medembed.search.plan import SearchPlan, cut, plan_work


def shape(plan: SearchPlan) -> tuple[int, int, int]:
    """Return the numbers of stripes and blocks, and the queries of the largest block."""
    return len(plan.stripes), len(plan.blocks), max(stop - start for start, stop in plan.blocks)


def test_work_is_cut_by_queries_where_they_are_many_and_by_rows_where_these_are():
    shards = [(number, 1024) for number in range(98)]  # 100,352 rows: one part of 160 MiB
    assert shape(plan_work(shards, 10_000, 384, 100, 2)) == (1, 4, 2500)
    assert shape(plan_work(shards, 1_000_000, 384, 100, 2)) == (1, 62, 16_384)
    assert shape(plan_work(shards, 50_000, 384, 1000, 2)) == (1, 13, 4000)  # 4 million scores
    assert shape(plan_work(shards, 100, 384, 10, 2)) == (4, 1, 100)
    # not 64 workers that read all
    stripes, blocks, _ = shape(plan_work(shards, 10_000, 384, 100, 64))
    assert 1 < stripes < blocks
    plan = plan_work([(number, 8192) for number in range(123)], 2000, 384, 100, 2)
    assert shape(plan) == (4, 1, 2000)
    assert [shard for stripe in plan.stripes for part in stripe for shard in part] == list(
        range(123)
    )
    assert {len(stripe) for stripe in plan.stripes} == {3}  # parts
    huge = plan_work([(number, 1_000_000) for number in range(100)], 1_000_000, 384, 100, 2)
    assert shape(huge)[0] == 100  # an item of minutes, not of hours


def test_groups_of_shards_have_about_the_size_asked_for_and_lose_none():
    groups = cut([("a", 10), ("b", 3), ("c", 3), ("d", 3), ("e", 30), ("f", 1)], 10)
    assert groups == [[("a", 10)], [("b", 3), ("c", 3), ("d", 3)], [("e", 30)], [("f", 1)]]
    assert cut([], 5) == []
