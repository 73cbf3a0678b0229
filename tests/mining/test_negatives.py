import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.mining.config import MiningConfig
from medembed.mining.negatives import choose

ROWS = [f"d{number}" for number in range(40)]


def pick(
    choice: str, room: int, query_id: str = "q", seed: int = 0, kept: range = range(40)
) -> list[int]:
    return choose(kept, ROWS, query_id, MiningConfig(choice=choice, seed=seed), room)


@pytest.mark.parametrize(
    ("room", "expected"),
    [(1, [0]), (2, [0, 20]), (4, [0, 10, 20, 30]), (3, [0, 13, 26]), (40, list(range(40)))],
)
def test_spread_takes_the_first_of_equal_parts_of_the_ranks(room: int, expected: list[int]):
    assert pick("spread", room) == expected


@given(
    st.integers(0, 50),
    st.sampled_from(["hardest", "sample", "spread"]),
    st.sets(st.integers(0, 39)),
)
def test_every_choice_gives_as_many_as_there_are_room_and_candidates_for_each_once(
    room: int, choice: str, kept: set[int]
):
    chosen = choose(sorted(kept), ROWS, "q", MiningConfig(choice=choice), room)
    assert len(chosen) == min(room, len(kept))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= kept


@given(st.sets(st.integers(0, 39), min_size=1), st.integers(0, 10))
def test_a_sample_knows_only_seed_query_and_documents(kept: set[int], room: int):
    """Of the same candidates the same are drawn, whatever stands beside them."""
    config = MiningConfig(choice="sample")
    drawn = [ROWS[rank] for rank in choose(sorted(kept), ROWS, "q", config, room)]
    shifted = ["x", "y", *ROWS]
    again = [
        shifted[rank]
        for rank in choose(sorted(rank + 2 for rank in kept), shifted, "q", config, room)
    ]
    backwards = [ROWS[rank] for rank in choose(sorted(kept, reverse=True), ROWS, "q", config, room)]
    assert drawn == again == backwards


def test_samples_differ_between_queries_and_seeds_and_favour_no_rank():
    assert pick("sample", 5) != pick("sample", 5, query_id="r")
    assert pick("sample", 5) != pick("sample", 5, seed=1)
    drawn = np.bincount(
        np.concatenate([pick("sample", 4, query_id=f"q{number}") for number in range(2000)])
    )
    assert len(drawn) == 40
    assert drawn.min() > 140, "of 200 expected, standard deviation 13"
    assert drawn.max() < 260
