import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medembed.training.rows.grouping import count_paired, group_by_length, pair_by_class
from medembed.training.rows.order import Batches, Plan, Position, Stream
from medembed.training.run.build import arrange_rows, read_together
from medembed.training.run.padding import TokenCounter
from tests.training.small import CONFIG, resume, start


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    lengths=st.lists(st.integers(0, 500), max_size=200),
    size=st.integers(1, 21),
    seed=st.integers(0, 3),
)
def test_an_order_by_length_has_every_row_once(lengths: list[int], size: int, seed: int):
    assert sorted(group_by_length(lengths, size, draw(seed)).tolist()) == list(range(len(lengths)))


def test_a_step_holds_rows_of_one_length_where_the_window_has_enough_of_them():
    lengths = [10, 200, 3000] * 40
    for seed in range(3):
        order = group_by_length(lengths, 20, draw(seed)).reshape(6, 20)
        assert all(len({lengths[row] for row in step}) == 1 for step in order)
        assert order.tolist() != [sorted(step) for step in order.tolist()], (
            "no worker gets the first rows of a step"
        )


def test_passes_differ_in_order_and_in_what_they_leave_out_and_each_is_always_the_same():
    stream = Stream(103, 8, 3, partial(group_by_length, list(range(103)), 8))
    first, second = stream.order(0).tolist(), stream.order(1).tolist()
    assert first == stream.order(0).tolist() != second
    assert stream.left_out == 7
    assert set(first[-7:]) != set(second[-7:])


def test_steps_by_length_are_the_same_for_all_workers_that_read_as_much_together():
    columns = {"query": ["a" * (number % 17) for number in range(100)], "label": [0] * 100}
    steps = []
    for workers, batch_size in ((1, 16), (2, 8), (4, 4)):
        config = CONFIG.model_copy(
            update={"length_grouped": True, "workers": workers, "batch_size": batch_size}
        )
        stream = read_together(100, config, workers, arrange_rows(columns, config))
        steps.append([taken.tolist() for taken, _ in itertools.islice(stream.walk(Position()), 12)])
    assert steps[0] == steps[1] == steps[2]


def test_fewer_workers_go_on_with_the_same_pass_by_length():
    columns = {"query": ["a" * (number % 17) for number in range(100)], "label": [0] * 100}
    config = CONFIG.model_copy(update={"length_grouped": True, "workers": (1, 2)})
    both, one = (
        read_together(100, config, workers, arrange_rows(columns, config)) for workers in (2, 1)
    )
    assert (both.rows, one.rows) == (16, 8)
    assert both.order(0).tolist() == one.order(0).tolist()


@given(labels=st.lists(st.integers(0, 6), max_size=80), seed=st.integers(0, 3))
def test_pairs_are_of_one_class_and_only_one_row_of_an_odd_class_is_left_out(
    labels: list[int], seed: int
):
    order = pair_by_class(labels, draw(seed)).tolist()
    assert len(order) == len(set(order)) == count_paired(labels)
    assert all(
        labels[one] == labels[other] for one, other in zip(order[::2], order[1::2], strict=True)
    )
    missing = [labels[row] for row in set(range(len(labels))) - set(order)]
    assert sorted(missing) == [label for label in range(7) if labels.count(label) % 2]


def test_every_row_of_a_workers_batch_has_another_one_of_its_class_there():
    labels = [number % 9 for number in range(95)]
    stream = Stream(count_paired(labels), 3 * 4, 0, partial(pair_by_class, labels))
    left_out = set()
    for epoch in range(4):
        batches = list(Batches(Plan(stream, 7, 7, Position(epoch)), 4))
        assert len(batches) == 21
        for batch in batches:
            classes = [labels[row] for row in batch]
            assert all(classes.count(label) > 1 for label in classes)
        left_out.add(frozenset(range(95)) - set(stream.order(epoch).tolist()))
    assert len(left_out) == 4


def test_the_counter_tells_the_share_of_padding():
    masks = iter([[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 0]]])
    counter = TokenCounter(lambda texts: {"attention_mask": torch.tensor(next(masks))})
    assert counter.padding == 0
    counter(["a", "b"])
    assert counter.padding == 0.25
    counter(["c"])
    assert counter.padding == pytest.approx(0.3)


def test_grouped_batches_pad_less_in_a_real_run_and_the_run_says_how_much(
    encoder_folder: Path, tmp_path: Path
):
    shares = {}
    for is_grouped in (False, True):
        trainer = start(
            encoder_folder, CONFIG.model_copy(update={"length_grouped": is_grouped}), tmp_path
        )
        trainer.train()
        logged = [entry["padding"] for entry in trainer.state.log_history if "loss" in entry]
        assert len(logged) == 6
        counter = trainer.data_collator.preprocess_fn
        assert logged[-1] == pytest.approx(counter.padding, abs=1e-4)
        shares[is_grouped] = counter.padding
    assert shares[True] < shares[False] - 0.02


def test_a_grouped_run_that_accumulates_and_resumes_ends_with_the_same_bits(
    encoder_folder: Path, tmp_path: Path
):
    config = CONFIG.model_copy(
        update={"length_grouped": True, "accumulation_steps": 2, "batch_size": 4}
    )
    whole = start(encoder_folder, config, tmp_path / "a", steps=10, save_at=(8,))
    whole.train()
    resumed = start(encoder_folder, config, tmp_path / "b", steps=10, done=8)
    resume(resumed, tmp_path / "a" / "checkpoint-8")
    expected = dict(whole.model.named_parameters())
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in resumed.model.named_parameters()
    )
