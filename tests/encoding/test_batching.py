import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.encoding.batching import (
    Layout,
    Tokens,
    batch_by_tokens,
    count_padding,
    make_batches,
    make_steady_batches,
)


def test_like_lengths_share_a_batch_and_a_long_text_goes_alone():
    assert batch_by_tokens([3, 50, 4, 5], max_tokens=15) == [[1], [3, 2, 0]]


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_each_text_is_in_one_batch_and_no_batch_of_several_exceeds_the_budget(
    lengths: list[int], budget: int
):
    batches = batch_by_tokens(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
        for batch in batches
    )


@pytest.mark.parametrize(
    ("left", "ids", "mask"),
    [
        (False, [[7, 8, 9], [5, 1, 1]], [[1, 1, 1], [1, 0, 0]]),
        (True, [[7, 8, 9], [1, 1, 5]], [[1, 1, 1], [0, 0, 1]]),
    ],
)
def test_short_texts_are_filled_up_on_the_tokenizers_side(
    left: bool, ids: list[list[int]], mask: list[list[int]]
):
    layout = Layout({"input_ids": 1, "token_type_ids": 3}, is_left=left)
    tokens = Tokens(
        {"input_ids": [[5], [7, 8, 9]], "token_type_ids": [[2], [2, 2, 2]]},
        layout,
        {"task": "query"},
    )
    batch = tokens.batch([1, 0])
    assert (batch.positions, batch.shared, batch.tokens) == ([1, 0], {"task": "query"}, 4)
    assert {name: values.tolist() for name, values in batch.features.items()} == {
        "input_ids": ids,
        "token_type_ids": [[2, 2, 2], [3, 3, 2] if left else [2, 3, 3]],
        "attention_mask": mask,
    }
    assert {values.dtype for values in batch.features.values()} == {np.dtype(np.int64)}


def test_a_flat_batch_has_its_texts_one_behind_the_other():
    batch = Tokens({"input_ids": [[7, 8], [], [5]]}, Layout(is_flat=True)).batch([2, 1, 0])
    features = {name: values.tolist() for name, values in batch.features.items()}
    assert features == {"input_ids": [5, 7, 8], "offsets": [0, 1, 1]}
    assert batch.tokens == 3


def test_texts_of_other_settings_do_not_fit_and_those_that_fit_are_joined_in_order():
    ours = Tokens({"input_ids": [[1], [2]]})
    other = Tokens({"input_ids": [[3]]})
    assert ours.fits(other)
    assert ours.join([other, ours.take(1, 2)]).ids == [[1], [2], [3], [2]]
    assert ours.ids == [[1], [2]]
    assert not ours.fits(Tokens({"input_ids": [[3]]}, shared={"prompt_length": 3}))
    assert not ours.fits(Tokens({"input_ids": [[3]]}, Layout(is_left=True)))


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9)), st.integers(1, 30))
def test_the_masked_tokens_of_all_batches_are_the_texts_tokens(
    tokens: list[list[int]], budget: int
):
    masked = {
        position: ids[mask == 1].tolist()
        for batch in make_batches(Tokens({"input_ids": tokens}), budget)
        for position, ids, mask in zip(
            batch.positions,
            batch.features["input_ids"],
            batch.features["attention_mask"],
            strict=True,
        )
    }
    assert masked == dict(enumerate(tokens))


def test_padding_is_what_batches_are_filled_up_with():
    assert count_padding([3, 1, 2], 100) == (3 - 1) + (3 - 2)
    assert count_padding([5, 5], 100) == 0


def test_steady_batches_have_one_shape_for_each_length_no_padding_and_every_text_once():
    lengths = [3, 5, 3, 200, 5, *[3] * 40, 700]
    tokens = [[n + 1] * length for n, length in enumerate(lengths)]
    batches = list(make_steady_batches(Tokens({"input_ids": tokens})))
    assert {batch.features["input_ids"].shape for batch in batches} == {
        (16, 3),
        (16, 5),
        (2, 200),
        (1, 700),
    }
    assert all(batch.features["attention_mask"].all() for batch in batches)
    row_at = {
        position: row.tolist()
        for batch in batches
        for position, row in zip(batch.positions, batch.features["input_ids"], strict=True)
    }
    assert [row_at[n] for n in range(len(tokens))] == tokens
