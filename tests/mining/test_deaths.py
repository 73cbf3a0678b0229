"""Mine while workers are killed; benchmarks/faults_mining.py kills drivers and nodes too."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks.fault_injection import actors
from benchmarks.faults_mining import (
    ITEMS,
    SETTINGS,
    Case,
    find_faults,
    leaves,
    make_case,
    read_files,
)
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import find_table
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.search import plan, shards

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
_END_S = 240


@pytest.fixture(scope="module")
def case(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Case:
    """Return 6,000 documents, 400 queries, and the files of a search that nobody disturbs."""
    folder = tmp_path_factory.mktemp("deaths")
    case = make_case(folder, encoder_folder, 6000, 400)
    return replace(case, files=read_files(run(case, str(folder / "undisturbed"), workers=1)))


def run(case: Case, output: str, workers: int) -> str:
    table = find_table(case.table)
    assert table is not None
    config = MiningConfig.model_validate(SETTINGS)
    return mine(
        open_dataset(case.data), table, case.model, output, config, EncodingConfig(workers=workers)
    ).uri


def test_a_run_that_loses_a_worker_ends_with_the_same_examples(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = str(tmp_path / "out")
    monkeypatch.setattr(shards, "_ROWS_HERE", 0)
    monkeypatch.setattr(plan, "_QUERIES_PER_BLOCK", case.sizes[0])
    monkeypatch.setattr(plan, "_SCORES_PER_ITEM", case.sizes[1])
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_searcher, args=(output, killed))
    killer.start()
    run(case, output, workers=2)
    killer.join()
    assert len(killed) == 1
    assert 0 < killed[0] < ITEMS, "a worker died in the middle of the search"
    assert find_faults(output, case) == []


def kill_a_searcher(output: str, killed: list[int]) -> None:
    """Kill one of this run's two search actors when the first item is done.

    Adds how many were done then.
    """
    started, others = time.time(), {each.pid for each in actors(psutil.Process())}
    while not leaves(output):
        if time.time() > started + _END_S:
            return
        time.sleep(0.005)
    searchers = [each for each in actors(psutil.Process()) if each.pid not in others]
    searchers[0].kill()
    killed.append(len(leaves(output)))
