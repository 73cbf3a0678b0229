import os
import shutil
from pathlib import Path

from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from medembed.retraining.config import TriggerConfig
from medembed.retraining.watch import Watch
from tests.retraining.drops import make_config, write_drop

NOW = 1_000_000.0


def land(root: Path, name: str, grades: range, age_s: float) -> None:
    path = write_drop(root / "landing" / name, grades)
    os.utime(path, (NOW - age_s, NOW - age_s))


def test_rows_or_age_start_a_retraining_once_for_the_same_files(empty_registry: Path, tmp_path: Path):
    (tmp_path / "landing").mkdir()
    workspace = shutil.copytree(empty_registry, tmp_path / "ws")
    registry = open_registry(RegistryConfig(workspace=str(workspace)), on_cluster=False)
    watch = Watch(make_config(tmp_path, tmp_path / "model"), registry, TriggerConfig(min_rows=24, max_age_s=3600))
    assert watch.look(NOW) is None
    land(tmp_path, "1.jsonl", range(1), age_s=100)
    assert watch.look(NOW) is None, "12 rows of 24, and young"
    assert str(watch.look(NOW + 3600)).startswith("the oldest new file landed 3,700 s ago")
    assert watch.look(NOW + 7200) is None, "these files were tried"
    land(tmp_path, "2.jsonl", range(1, 2), age_s=50)
    assert watch.look(NOW) == "24 rows in 2 new files, trigger.min_rows is 24"
