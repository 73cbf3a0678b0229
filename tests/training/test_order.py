import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.training.config import TrainingConfig
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import TrainingTexts
from medembed.training.rows.order import (
    Batches,
    Position,
    StepPlan,
    Stream,
    count_paired,
    group_by_length,
    keep_together,
    pair_by_class,
)
from medembed.training.run.build import count_steps, plan_run

CONFIG = TrainingConfig(dimensions=(8,), select_dimension=8, batch_size=16, epochs=3)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 15),
        ({"workers": 2}, 6),
        ({"workers": (1, 2)}, 6),
        ({"accumulation_steps": 2}, 6),
        ({"accumulation_steps": 4, "epochs": 2}, 2),
        ({"accumulation_steps": 16}, 0),
    ],
)
def test_steps_are_whole_batches_over_all_workers_and_accumulations(
    settings: dict[str, Any], steps: int
):
    assert count_steps(90, CONFIG.model_copy(update=settings)) == steps


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 9))
def test_a_pass_gives_each_example_at_most_once_and_leaves_out_only_what_fills_no_step(
    rows: int, steps: int, seed: int
):
    count = rows * steps + seed % rows
    stream = Stream(count, rows, seed)
    walk = itertools.islice(stream.walk(Position()), stream.steps_left(Position(), 1))
    seen = list(itertools.chain.from_iterable(taken.tolist() for taken, _ in walk))
    assert len(set(seen)) == len(seen) == count - stream.left_out
    assert set(seen) <= set(range(count))
    assert stream.left_out < rows


def test_another_pass_leaves_out_other_examples():
    stream = Stream(count=37, rows=8, seed=0)
    missing = []
    for epoch in range(8):
        walk = itertools.islice(stream.walk(Position(epoch, 0)), 4)
        seen = itertools.chain.from_iterable(taken.tolist() for taken, _ in walk)
        missing.append(frozenset(range(37)) - set(seen))
    assert {len(left) for left in missing} == {stream.left_out} == {5}
    assert len(set(missing)) == 8
    assert len(frozenset.union(*missing)) > 20
    assert not frozenset.intersection(*missing), "none is left out for good"


@given(st.integers(0, 40), st.sampled_from([0.5, 1.0, 1.1, 2.0, 2.75]))
def test_a_run_that_stops_anywhere_goes_on_with_the_very_batches_that_were_left(
    done: int, epochs: float
):
    stream = Stream(count=53, rows=8, seed=1)
    total = stream.steps_left(Position(), epochs)
    whole = list(itertools.islice(stream.walk(Position()), total))
    done = min(done, total)
    position = whole[done - 1][1] if done else Position()
    left = stream.steps_left(position, epochs)
    assert left == total - done
    rest = list(itertools.islice(stream.walk(position), left))
    assert [taken.tolist() for taken, _ in rest] == [taken.tolist() for taken, _ in whole[done:]]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 30), st.integers(1, 3))
def test_with_another_number_of_workers_the_passes_end_once_and_no_example_comes_twice_in_one(
    before: int, after: int, done: int, epochs: int
):
    count, batch = 61, 3
    first, second = Stream(count, batch * before, 7), Stream(count, batch * after, 7)
    done = min(done, first.steps_left(Position(), epochs))
    began = list(itertools.islice(first.walk(Position()), done))
    position = began[-1][1] if began else Position()
    ended = list(itertools.islice(second.walk(position), second.steps_left(position, epochs)))
    passes: dict[int, list[int]] = {}
    for taken, reached in (*began, *ended):
        passes.setdefault(reached.epoch, []).extend(taken.tolist())
    assert sorted(passes) == list(range(epochs))
    for epoch, seen in passes.items():
        assert len(set(seen)) == len(seen)
        assert count - len(seen) < max(first.rows, second.rows), f"pass {epoch} misses a whole step"


def test_the_learning_rate_falls_with_the_examples_left_not_with_the_steps():
    """40 steps of two workers; after 20, one worker has 40 left, which count for a half each."""
    config = CONFIG.model_copy(update={"workers": (1, 2), "epochs": 1, "batch_size": 4})
    state = TrainingState(workers=2, step=20, scheduled=20.0, position=Position(0, 160))
    texts = TrainingTexts({"label": [0] * 320})
    plan = plan_run(texts, config, state, workers=1)
    assert (plan.total, plan.steps, plan.pace) == (40, 40, 0.5)
    assert [plan.scheduled_at(step) for step in (20, 30, 60)] == [20.0, 25.0, 40.0]
    same = plan_run(texts, config, state, workers=2)
    assert same.steps == 20
    assert [same.scheduled_at(step) for step in (20, 21, 40)] == [20.0, 21.0, 40.0]


def test_batches_are_dealt_to_workers_in_turn_and_make_up_a_step():
    stream = Stream(count=26, rows=12, seed=3)
    batches = list(Batches(StepPlan(stream, steps=3, total=3), batch_size=4))
    assert (
        [len(batch) for batch in batches]
        == [4] * 9
        == [4] * len(Batches(StepPlan(stream, 3, 3), 4))
    )
    order = stream.order(0).tolist()
    assert batches[:3] == [order[0:4], order[4:8], order[8:12]]
    assert batches[6] == stream.order(1).tolist()[:4]


@given(labels=st.lists(st.integers(0, 6), max_size=80), seed=st.integers(0, 3))
def test_pairs_are_of_one_class_and_only_one_row_of_an_odd_class_is_left_out(
    labels: list[int], seed: int
):
    order = pair_by_class(labels, np.random.default_rng(seed)).tolist()
    assert len(order) == len(set(order)) == count_paired(labels)
    for first, second in zip(order[::2], order[1::2], strict=True):
        assert labels[first] == labels[second]
    missing = [labels[row] for row in set(range(len(labels))) - set(order)]
    assert sorted(missing) == [label for label in range(7) if labels.count(label) % 2]


def test_every_row_of_a_workers_batch_has_another_one_of_its_class_there():
    labels = [number % 9 for number in range(95)]
    stream = Stream(count_paired(labels), 3 * 4, 0, partial(pair_by_class, labels))
    left_out = set()
    for epoch in range(4):
        batches = list(Batches(StepPlan(stream, 7, 7, Position(epoch)), 4))
        assert len(batches) == 21
        for batch in batches:
            classes = [labels[row] for row in batch]
            assert all(classes.count(label) > 1 for label in classes)
        left_out.add(frozenset(range(95)) - set(stream.order(epoch).tolist()))
    assert len(left_out) == 4


@given(
    groups=st.lists(st.sampled_from(["fr -> en", "en -> fr", "fr -> fr"]), min_size=1, max_size=80),
    rows=st.integers(2, 9),
    seed=st.integers(0, 3),
)
def test_runs_are_of_one_group_but_for_the_rest_and_each_row_comes_once(
    groups: list[str], rows: int, seed: int
):
    order = keep_together(groups, rows, np.random.default_rng(seed)).tolist()
    assert sorted(order) == list(range(len(groups)))
    whole = sum(groups.count(name) // rows for name in set(groups))
    for first in range(0, whole * rows, rows):
        assert len({groups[row] for row in order[first : first + rows]}) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_by_language_are_those_of_one_plan_whatever_the_workers_and_go_on_where_they_stopped(
    workers: int,
):
    settings = {"batches": "language", "workers": (1, 4), "batch_size": 4, "epochs": 2}
    config = CONFIG.model_copy(update=settings)
    languages = ["fr -> en" if row % 3 else "fr -> fr" for row in range(100)]
    texts = TrainingTexts({"label": [0] * 100}, languages=languages)
    plan = plan_run(texts, config, TrainingState(workers), workers)
    assert (
        plan.stream.order(1).tolist()
        == keep_together(languages, 16, np.random.default_rng((config.seed, 1))).tolist()
    )
    batches = list(Batches(plan, 4))
    together = [languages[row] for batch in batches[:20] for row in batch]
    for first in range(0, 80, 16):
        assert len(set(together[first : first + 16])) == 1, "a step compares one pair of languages"
    done = TrainingState(workers, step=1, position=Position(0, 4 * workers))
    left = list(Batches(plan_run(texts, config, done, workers), 4))
    assert left == batches[workers:]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=90), st.integers(1, 6), st.integers(0, 9))
def test_texts_of_like_length_come_together_each_once(lengths: list[int], rows: int, seed: int):
    order = group_by_length(lengths, rows, np.random.default_rng(seed)).tolist()
    assert sorted(order) == list(range(len(lengths)))
    window = lengths[: 16 * rows]
    whole = len(window) - len(window) % rows
    order = group_by_length(window[:whole], rows, np.random.default_rng(seed)).tolist()
    runs = [sorted(window[row] for row in order[at : at + rows]) for at in range(0, whole, rows)]
    ascending = sorted(window[:whole])
    assert sorted(runs) == [ascending[at : at + rows] for at in range(0, whole, rows)]
