import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.encoding.batching import batch_by_tokens, count_padding, make_batches, make_steady_batches, pad


def test_like_lengths_share_a_batch_and_a_long_text_goes_alone():
    assert batch_by_tokens([3, 50, 4, 5], max_tokens=15) == [[1], [3, 2, 0]]


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_each_text_is_in_one_batch_and_no_batch_of_several_exceeds_the_budget(lengths: list[int], budget: int):
    batches = batch_by_tokens(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget for batch in batches)


@pytest.mark.parametrize(
    ("left", "ids", "mask"),
    [(False, [[7, 8, 9], [5, 1, 1]], [[1, 1, 1], [1, 0, 0]]), (True, [[7, 8, 9], [1, 1, 5]], [[1, 1, 1], [0, 0, 1]])],
)
def test_short_texts_are_filled_up_on_the_tokenizers_side(left: bool, ids: list[list[int]], mask: list[list[int]]):
    batch = pad([[7, 8, 9], [5]], [4, 2], pad_id=1, pad_left=left)
    assert (batch.positions, batch.ids.tolist(), batch.mask.tolist()) == ([4, 2], ids, mask)
    assert batch.ids.dtype == batch.mask.dtype == np.int64


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9)), st.integers(1, 30))
def test_the_masked_tokens_of_all_batches_are_the_texts_tokens(tokens: list[list[int]], budget: int):
    found = {
        position: ids[mask == 1].tolist()
        for batch in make_batches(tokens, budget)
        for position, ids, mask in zip(batch.positions, batch.ids, batch.mask, strict=True)
    }
    assert found == dict(enumerate(tokens))


def test_padding_is_what_batches_are_filled_up_with():
    assert count_padding([3, 1, 2], 100) == (3 - 1) + (3 - 2)
    assert count_padding([5, 5], 100) == 0


def test_steady_batches_have_one_shape_for_each_length_no_padding_and_every_text_once():
    lengths = [3, 5, 3, 200, 5, *[3] * 40, 700]
    tokens = [[n + 1] * length for n, length in enumerate(lengths)]
    batches = list(make_steady_batches(tokens))
    assert {batch.ids.shape for batch in batches} == {(16, 3), (16, 5), (2, 200), (1, 700)}
    assert all(batch.mask.all() for batch in batches)
    told = {
        position: row.tolist() for batch in batches for position, row in zip(batch.positions, batch.ids, strict=True)
    }
    assert [told[n] for n in range(len(tokens))] == tokens
