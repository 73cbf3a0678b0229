from pathlib import Path

import pytest
import torch

from medembed.errors import TrainingError
from medembed.training.record.progress_state import (
    FILE,
    TrainingState,
    after_evaluation,
    is_over,
    read_state,
    reseed,
)
from medembed.training.rows.order import Position


def test_a_state_is_read_as_it_was_written(tmp_path: Path):
    state = TrainingState(3, 17, 12.5, Position(2, 96), 0.61803398874989, 1)
    state.write(tmp_path)
    assert read_state(tmp_path) == state
    (tmp_path / FILE).write_text('{"step": 1}')
    with pytest.raises(TrainingError, match="another release made it"):
        read_state(tmp_path)


def test_evaluations_without_a_gain_are_counted_against_the_best():
    state = TrainingState(1)
    stale = []
    for score in (0.50, 0.50, 0.53, 0.51, 0.53):
        state = after_evaluation(state, score)
        stale.append(state.stale)
    assert stale == [0, 1, 0, 1, 2]
    assert is_over(state, 2)
    assert not is_over(state, 3)
    assert not is_over(state, None)


def test_workers_that_no_checkpoint_has_numbers_for_draw_others_each_time():
    def draw(step: int, rank: int) -> float:
        reseed(0, TrainingState(1, step), rank)
        return torch.rand(1).item()

    assert draw(5, 0) == draw(5, 0)
    assert len({draw(step, rank) for step in (5, 6) for rank in (0, 1)}) == 4
