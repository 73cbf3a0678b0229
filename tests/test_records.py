from pathlib import Path

import numpy as np
import pytest

from medembed.errors import StorageError
from medembed.records import Records


def test_a_part_is_made_once_and_read_again_until_the_folder_is_cleared(tmp_path: Path):
    records = Records(str(tmp_path / "run"))
    calls = []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"numbers": np.arange(3, dtype=np.int32), "names": np.array(["a", "bc"])}

    assert records.names() == set()
    for _ in range(2):
        part = records.once("part", make)
        assert part["numbers"].tolist() == [0, 1, 2]
        assert part["names"].tolist() == ["a", "bc"]
    assert len(calls) == 1
    assert records.has("part")
    assert not records.has("par")

    assert records.read_json("trials/0001") is None
    records.write_json("trials/0001", {"score": 0.5})
    assert records.read_json("trials/0001") == {"score": 0.5}
    assert records.names() == {"part", "trials/0001"}

    records.clear()
    records.clear()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["part.npz", "part.json"])
def test_the_error_for_a_damaged_part_names_its_file_and_what_to_do(name: str, tmp_path: Path):
    records = Records(str(tmp_path))
    records.write("part", {"numbers": np.arange(100)})
    records.write_json("part", list(range(100)))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:90])
    read = records.read if name.endswith(".npz") else records.read_json
    with pytest.raises(StorageError, match=rf"{name}: damaged, .* remove .* and run again\.$"):
        read("part")
