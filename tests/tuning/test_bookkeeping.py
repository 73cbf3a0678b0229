import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medembed.training.run.private_ray_train import free_placement_group, note_placement_group
from medembed.training.run.run_folder import run_folder
from medembed.tuning.bookkeeping import Bookkeeper
from medembed.tuning.trial import Shared
from medembed.tuning.trials import DONE, EXAMPLES, FAILED, OBJECTIVE, Trials, model_place
from tests.tuning.configs import make_config

CONFIG = make_config(trials=3)


@pytest.fixture
def books(tmp_path: Path) -> Bookkeeper:
    return Bookkeeper(Trials(str(tmp_path)), Shared(CONFIG, str(tmp_path), "m", "d", None))


def tell(books: Bookkeeper, number: int, **result: Any) -> None:
    books.on_trial_result(1, [], SimpleNamespace(config={"number": number}), result)


def end(books: Bookkeeper, number: int) -> None:
    books.on_trial_complete(1, [], SimpleNamespace(config={"number": number}))


def test_a_trial_is_complete_with_its_checkpoint_stopped_without_and_failed_by_its_own_word(
    books: Bookkeeper, caplog: pytest.LogCaptureFixture
):
    for number in range(3):
        books.started(number, {"training.temperature": 0.05})
    tell(books, 0, **{OBJECTIVE: 0.5, EXAMPLES: 320, "ndcg@10/64": 0.4, "time_total_s": 3})
    tell(books, 0, **{OBJECTIVE: 0.7, EXAMPLES: 2368, "ndcg@10/64": 0.6})
    tell(books, 0, **{OBJECTIVE: 0.7, EXAMPLES: 2400, DONE: "uri"})
    tell(books, 1, **{OBJECTIVE: 0.4, EXAMPLES: 320})
    tell(books, 2, **{OBJECTIVE: float("nan"), EXAMPLES: 0, FAILED: "loss is nan"})
    with caplog.at_level(logging.INFO):
        for number in range(3):
            end(books, number)
    records = books.trials.all()
    assert [(record.state, record.reason) for record in records] == [
        ("complete", ""),
        ("stopped", ""),
        ("failed", "loss is nan"),
    ]
    assert [(at.examples, at.objective) for at in records[0].course] == [(320, 0.5), (2368, 0.7)]
    assert records[0].course[0].metrics == {"ndcg@10/64": 0.4}
    assert (
        "trial 1 (2 of 3): dev score 0.4000, stopped at 320 of 2,400 examples; best 0.7000 "
        "(trial 0)" in caplog.text
    )


def test_what_a_driver_had_not_heard_of_before_it_died_finds_its_place_in_the_course(
    books: Bookkeeper, caplog: pytest.LogCaptureFixture
):
    books.started(0, {"training.temperature": 0.05})
    with caplog.at_level(logging.INFO):
        for examples, score in ((320, 0.4), (2400, 0.7), (320, 0.4), (640, 0.8), (2400, 0.7)):
            tell(books, 0, **{OBJECTIVE: score, EXAMPLES: examples})
    assert len(caplog.messages) == 3  # each once
    tell(books, 0, **{OBJECTIVE: 0.8, EXAMPLES: 2400, DONE: "uri"})
    end(books, 0)
    assert [(at.examples, at.objective) for at in books.trials.known[0].course] == [
        (320, 0.4),
        (640, 0.8),
        (2400, 0.7),
    ]


def test_a_trial_that_time_runs_out_on_is_not_over_and_holds_nothing(
    books: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    freed: list[str] = []
    monkeypatch.setattr("medembed.tuning.bookkeeping.free_placement_group", freed.append)
    for number in range(2):
        books.started(number, {"training.temperature": 0.05})
        tell(books, number, **{OBJECTIVE: 0.4, EXAMPLES: 320})
    tell(books, 0, **{OBJECTIVE: 0.4, EXAMPLES: 2400, DONE: "uri"})
    end(books, 0)
    books.suspend()
    assert [record.is_over for record in books.trials.all()] == [True, False]
    assert freed == [run_folder(f"{tmp_path}/trials/0001/model")]


def test_what_an_earlier_driver_left_goes_and_the_best_model_stays(
    books: Bookkeeper, tmp_path: Path
):
    for number in range(3):
        books.started(number, {"training.temperature": 0.05})
        tell(books, number, **{OBJECTIVE: number / 10, EXAMPLES: 320})
        model = tmp_path / "trials" / f"{number:04d}"
        (model / "model.run").mkdir()
        (model / "model.run" / "run.json").write_text("{}")
        (model / "model").mkdir()
    books.trials.change(0, state="stopped")
    for number in (1, 2):
        books.trials.change(number, state="complete")
    Bookkeeper(Trials.read(str(tmp_path)), books.shared).clean()
    assert [len(list(tmp_path.glob(f"trials/000{number}/model*"))) for number in range(3)] == [
        0,
        0,
        2,
    ]


@pytest.mark.ray
def test_what_a_stopped_trials_workers_hold_is_free_for_the_next(
    books: Bookkeeper, ray_local: None
):
    import ray
    from ray.util import placement_group, placement_group_table, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    books.started(0, {"training.temperature": 0.05})
    run = run_folder(model_place(books.trials.output, 0))
    held = placement_group([{"CPU": 4}])
    inside = PlacementGroupSchedulingStrategy(held)
    ray.get(ray.remote(note_placement_group).options(scheduling_strategy=inside).remote(run))
    end(books, 0)
    following = placement_group([{"CPU": 4}])
    assert following.wait(30)
    assert placement_group_table(held)["state"] == "REMOVED"
    free_placement_group(run)  # nothing is written there any more
    assert placement_group_table(following)["state"] == "CREATED"
    remove_placement_group(following)
