"""How items reach the actors of a stage: nobody waits behind a busy one, and a pool grows while
items wait.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from medembed import spread as module
from medembed.config import load_config
from medembed.encoding.config import EncodingConfig
from medembed.errors import ConfigError, DataError
from medembed.spread import Workers, spread

LONGEST_WAIT_S = 60


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_pool_grows_to_its_most_while_items_wait_and_no_actor_holds_items_in_advance(
    tmp_path: Path,
):
    class Meet:
        """Returns when two actors have an item; an actor that held both would wait for itself."""

        def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
            folder, end = Path(item["folder"]), time.monotonic() + LONGEST_WAIT_S
            (folder / str(os.getpid())).touch()
            while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
                time.sleep(0.05)
            return {"number": item["number"], "square": item["number"] ** 2}

    items = [{"number": number, "folder": str(tmp_path)} for number in range(2)]
    rows = sorted(spread(items, Meet, {}, workers=(1, 2)), key=lambda row: int(row["number"]))
    assert rows == [{"number": 0, "square": 0}, {"number": 1, "square": 1}]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_an_item_at_which_the_process_ends_each_time_ends_the_run_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
):
    class End:
        """Ends its process, as a model's native code may."""

        def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
            os._exit(1)

    monkeypatch.setattr(module, "_MOST_RETRIES", 1)
    with pytest.raises(DataError, match=r"^End: a worker's process ended 2 times at the same rows"):
        list(spread([{"number": 0}], End, {}, workers=1))


@pytest.mark.parametrize(
    ("given", "workers", "most"),
    [("3", 3, 3), ("[1,4]", (1, 4), 4), ("[2,2]", 2, 2)],
    ids=["number", "bounds", "equal"],
)
def test_a_config_takes_a_number_of_workers_or_bounds(given: str, workers: Workers, most: int):
    config = load_config(EncodingConfig, [f"workers={given}"])
    assert (config.workers, config.most_workers) == (workers, most)
    assert EncodingConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("workers", "items", "bounds"), [(3, 9, (3, 3)), (3, 2, (2, 2)), ((1, 4), 3, (1, 3))]
)
def test_there_are_never_more_actors_than_items(
    workers: Workers, items: int, bounds: tuple[int, int]
):
    assert module._bounds(workers, items) == bounds


@pytest.mark.parametrize("given", ["0", "[0,2]", "[4,1]", "[1,2,3]", "[]", "many", "true", "[1,x]"])
def test_other_workers_are_refused_with_what_is_expected(given: str):
    with pytest.raises(
        ConfigError, match=r"^workers: .*expected a number from 1, or two of them, \[fewest,most\]"
    ):
        load_config(EncodingConfig, [f"workers={given}"])
