import io
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import TrainerState

from medembed.training.record.curves import draw_curves, smooth
from medembed.training.record.history import (
    TRAINER_STATE,
    clean_history,
    dev_names,
    loss_names,
    record_dev,
    series,
)


def logged(steps: int, every: int = 50) -> list[dict[str, Any]]:
    """Return what a trainer logs: each step, and a dev metric now and then."""
    entries: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        entries.append(
            {"loss": 3 * math.exp(-step / 100), "learning_rate": 1e-4, "epoch": 0.5, "step": step}
        )
        if step % every == 0:
            entries.append({"step": step, "dev_ndcg@10/64": 0.4, "dev_ndcg@10/384": step / 1000})
    return entries


def test_history_keeps_what_curves_need_in_order():
    history = clean_history(logged(100))
    assert [entry["step"] for entry in history] == sorted(entry["step"] for entry in history)
    assert series(history, "dev_ndcg@10/384") == ([50, 100], [0.05, 0.1])
    assert len(series(history, "loss")[0]) == 100
    assert "epoch" not in history[0]
    assert dev_names(history) == ["dev_ndcg@10/384", "dev_ndcg@10/64"]


def test_a_step_that_a_restart_ran_again_counts_once_with_its_later_value():
    entries = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 9.0}, {"step": 2, "loss": 2.0}]
    assert series(clean_history(entries), "loss") == ([1, 2], [1.0, 2.0])


def test_a_long_run_is_thinned_to_means_and_keeps_its_last_step_and_its_dev_metrics():
    history = clean_history(logged(2500, every=2))
    steps, losses = series(history, "loss")
    assert len(steps) == 834
    assert steps[-1] == 2500
    assert losses[0] == pytest.approx(sum(3 * math.exp(-step / 100) for step in (1, 2, 3)) / 3)
    assert len(series(history, "dev_ndcg@10/64")[0]) == 1250


def test_dev_metrics_travel_in_the_checkpoint_of_their_step(tmp_path: Path):
    state = TrainerState(global_step=7, log_history=[{"step": 7, "loss": 1.0}])
    record_dev(state, tmp_path, {"ndcg@10/64": 0.25})
    saved = TrainerState.load_from_json(str(tmp_path / TRAINER_STATE))
    assert saved.log_history == [{"step": 7, "loss": 1.0}, {"step": 7, "dev_ndcg@10/64": 0.25}]
    assert clean_history(saved.log_history)[-1]["dev_ndcg@10/64"] == 0.25


def test_a_smoothed_value_is_the_mean_of_the_last_few():
    assert smooth([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]


def test_the_picture_has_a_panel_for_each_thing_logged_and_is_the_same_for_the_same_run():
    whole = clean_history(logged(60, 20))
    picture = draw_curves(whole, 40)
    assert picture == draw_curves(whole, 40)
    assert picture != draw_curves(whole, 20), "the chosen step is marked"
    without_dev = draw_curves(clean_history(logged(1)))
    sizes = [Image.open(io.BytesIO(drawn or b"")).size for drawn in (picture, without_dev)]
    assert sizes == [(920, 1320), (920, 920)], "three panels, and two without a dev metric"
    assert draw_curves([]) is None, "without a loss there is no picture"


def test_losses_of_dimensions_are_drawn_widest_first():
    entries = [
        entry | {"loss/8": 3.0, "loss/64": 1.0} for entry in logged(60, 20) if "loss" in entry
    ]
    history = clean_history(entries)
    assert loss_names(history) == ["loss/64", "loss/8"]
    assert series(history, "loss/8")[1] == [3.0] * 60
    plain = [{name: value for name, value in entry.items() if "/" not in name} for entry in history]
    assert draw_curves(history) != draw_curves(plain)
