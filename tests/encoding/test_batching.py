from hypothesis import given
from hypothesis import strategies as st

from medembed.encoding.batching import batch_by_tokens


def test_like_lengths_share_a_batch_and_a_long_text_goes_alone():
    assert batch_by_tokens([3, 50, 4, 5], max_tokens=15) == [[1], [3, 2, 0]]


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_each_text_is_in_one_batch_and_no_batch_of_several_exceeds_the_budget(lengths: list[int], budget: int):
    batches = batch_by_tokens(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget for batch in batches)
