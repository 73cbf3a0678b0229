import json
from pathlib import Path

import pytest

from medembed.errors import StorageError, TrainingError
from medembed.training.run.private_ray_train import (
    SNAPSHOT,
    WHOLE_SNAPSHOT,
    latest_checkpoint,
    mend_snapshot,
)
from medembed.training.run.run_folder import check_claim, claim_run, remove_run, run_folder

INPUTS = {"dataset": "d", "training": {"learning_rate": 1e-4, "dimensions": (8, 4)}}


def snapshot(name: str, step: int) -> str:
    return json.dumps(
        {"latest_checkpoint_result": {"checkpoint_dir_name": name, "metrics": {"step": step}}}
    )


def test_a_run_goes_on_with_its_own_key_and_with_no_other(tmp_path: Path):
    run = run_folder(f"{tmp_path}/m/")
    assert run == f"{tmp_path}/m.run"
    assert not claim_run(run, "k", INPUTS, "first")
    assert claim_run(run, "k", INPUTS, "second")
    other = INPUTS | {"training": {"learning_rate": 2e-4, "dimensions": (8, 4)}}
    with pytest.raises(
        StorageError,
        match=r"unfinished training .* \(training.learning_rate: 0.0001 there, 0.0002 here\)",
    ):
        claim_run(run, "l", other, "third")
    check_claim(run, "second")


def test_a_folder_that_is_no_run_is_neither_taken_nor_removed(tmp_path: Path):
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run/notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="expected nothing or an unfinished training"):
        claim_run(f"{tmp_path}/m.run", "k", INPUTS, "a")
    remove_run(f"{tmp_path}/m.run")
    assert (tmp_path / "m.run/notes.txt").read_text() == "mine"


def test_workers_of_a_driver_that_another_one_follows_are_told_to_end(tmp_path: Path):
    run = f"{tmp_path}/m.run"
    claim_run(run, "k", INPUTS, "killed")
    check_claim(run, "killed")
    claim_run(run, "k", INPUTS, "next")
    with pytest.raises(TrainingError, match="another process goes on with this training"):
        check_claim(run, "killed")
    remove_run(run)
    with pytest.raises(TrainingError):
        check_claim(run, "next")
    assert not list(tmp_path.iterdir())


def test_a_torn_list_of_checkpoints_gives_way_to_the_one_before_it(tmp_path: Path):
    run = tmp_path / "m.run"
    claim_run(str(run), "k", INPUTS, "a")
    assert latest_checkpoint(str(run)) is None
    (run / SNAPSHOT).write_text(snapshot("c2", 20)[:40])
    (run / WHOLE_SNAPSHOT).write_text(snapshot("c1", 10))
    mend_snapshot(str(run))
    assert latest_checkpoint(str(run)) == (f"{run}/c1", 10)
    (run / SNAPSHOT).write_text(snapshot("c2", 20))
    mend_snapshot(str(run))
    assert latest_checkpoint(str(run)) == (f"{run}/c2", 20)
    (run / WHOLE_SNAPSHOT).unlink()
    (run / SNAPSHOT).write_text("")
    mend_snapshot(str(run))
    assert latest_checkpoint(str(run)) is None
