import os
import shutil
from pathlib import Path

import pytest

from medembed.errors import StorageError
from medembed.finetuning.retrain_config import TriggerConfig
from medembed.finetuning.watch import Watch
from medembed.registry.config import RegistryConfig
from medembed.registry.models import Registry, open_registry
from tests.finetuning.drops import make_config, write_drop

NOW = 1_000_000.0


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path) -> Registry:
    workspace = shutil.copytree(empty_registry, tmp_path / "ws")
    return open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)


def land(root: Path, name: str, grades: range, age_s: float) -> None:
    path = write_drop(root / "landing" / name, grades)
    os.utime(path, (NOW - age_s, NOW - age_s))


def test_rows_or_age_of_files_that_were_not_judged_start_a_retraining(
    registry: Registry, tmp_path: Path
):
    (tmp_path / "landing").mkdir()
    trigger = TriggerConfig(min_rows=24, max_age_s=3600)
    watch = Watch(make_config(tmp_path, tmp_path / "model"), registry, trigger)
    assert watch.look(NOW) is None
    land(tmp_path, "1.jsonl", range(1), age_s=100)
    assert watch.look(NOW) is None, "12 rows of 24, and young"
    due = watch.look(NOW + 3600)
    assert due is not None
    assert due.reason == "the oldest new file landed 3,700 s ago, trigger.max_age_s is 3600"
    assert watch.look(NOW + 3600) == due, "nobody has tried it"
    watch.settle(due)
    assert watch.look(NOW + 7200) is None, "these files were judged"
    land(tmp_path, "2.jsonl", range(1, 2), age_s=50)
    assert watch.look(NOW) is None, "12 rows of 24 beside those that wait"
    land(tmp_path, "3.jsonl", range(2, 3), age_s=50)
    more = watch.look(NOW)
    assert more is not None
    assert more.reason == "24 rows in 2 new files, trigger.min_rows is 24"
    assert more.files > due.files, "those that wait are tried with them"


def test_a_fault_puts_the_same_files_off_ever_longer_up_to_an_hour(
    registry: Registry, tmp_path: Path
):
    land(tmp_path, "1.jsonl", range(2), age_s=100)
    trigger = TriggerConfig(min_rows=24, every_s=600)
    watch = Watch(make_config(tmp_path, tmp_path / "model"), registry, trigger)
    due = watch.look(NOW)
    assert due is not None
    assert [watch.put_off(NOW) for _ in range(5)] == [600, 1200, 2400, 3600, 3600]
    assert watch.look(NOW + 3599) is None
    assert watch.look(NOW + 3600) == due
    watch.settle(due)
    assert watch.put_off(NOW) == 600
    assert {watch.put_off(NOW) for _ in range(2000)} == {1200, 2400, 3600}


def test_a_watch_outlives_faults_and_waits_for_others(
    registry: Registry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    """Busy: due again at the next look. A fault of ours or of storage: later. One that nobody knows
    ends it.
    """
    land(tmp_path, "1.jsonl", range(2), age_s=100)
    config = make_config(tmp_path, tmp_path / "model")
    trigger = TriggerConfig(min_rows=1, every_s=0.01)
    outcomes: list[Exception | str] = [
        "busy",
        StorageError("a bucket is gone"),
        OSError("row text"),
        "not better",
        AssertionError("row text"),
    ]

    def attempt() -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "not better":
            land(tmp_path, "2.jsonl", range(2, 3), age_s=100)
        return outcome != "busy"

    with pytest.raises(AssertionError):
        Watch(config, registry, trigger).run(attempt)
    assert outcomes == []
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [line.partition(";")[0] for line in errors] == [
        "error: a bucket is gone",
        "error: OSError: the registry or storage cannot be reached",
    ]
