from pathlib import Path

import numpy as np
import pytest

from medembed.errors import StorageError
from medembed.records import Records


def test_a_part_is_made_once_and_found_again_until_the_folder_is_cleared(tmp_path: Path):
    records, made = Records(str(tmp_path / "run")), []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"numbers": np.arange(3, dtype=np.int32), "names": np.array(["a", "bc"])}

    assert records.names() == set()
    for _ in range(2):
        found = records.once("part", make)
        assert (found["numbers"].tolist(), found["names"].tolist()) == ([0, 1, 2], ["a", "bc"])
    assert (len(made), records.names(), records.has("part"), records.has("par")) == (
        1,
        {"part"},
        True,
        False,
    )
    records.clear()
    records.clear()
    assert not (tmp_path / "run").exists()


def test_a_damaged_part_is_told_with_its_place_and_what_to_do(tmp_path: Path):
    records = Records(str(tmp_path))
    records.write("part", {"numbers": np.arange(100)})
    path = tmp_path / "part.npz"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(StorageError, match=r"part.npz: damaged, .* remove .* and run again\.$"):
        records.read("part")


def test_a_part_in_json_is_read_back_as_it_was_last_written_and_a_damaged_one_is_named(
    tmp_path: Path,
):
    records = Records(str(tmp_path))
    assert records.read_json("0001/trial") is None
    for content in ({"state": "running"}, {"state": "complete"}):
        records.write_json("0001/trial", content)
        assert records.read_json("0001/trial") == content
    assert records.names() == set(), "parts that are arrays are others"
    (tmp_path / "0001" / "trial.json").write_text('{"state"')
    with pytest.raises(StorageError, match=r"trial.json: damaged, .* remove .* and run again\.$"):
        records.read_json("0001/trial")
