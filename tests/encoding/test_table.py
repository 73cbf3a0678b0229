"""Read an embedding table on the driver."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medembed.encoding.open_table import open_table_of
from medembed.encoding.table import Table, read_shard
from medembed.errors import StorageError
from tests.tables import write_corpus, write_table

VECTORS = np.arange(28, dtype=np.float32).reshape(7, 4)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Return a table of seven rows in fragments of 3, 3 and 1."""
    root = tmp_path_factory.mktemp("table")
    return write_table(
        root / "t.lance",
        write_corpus(root / "data", [{"document_id": f"d{n}"} for n in range(7)], 3),
        VECTORS,
    )


def test_lookup_gives_documents_in_the_order_asked_and_names_an_absent_one(table: Table):
    assert np.array_equal(table.lookup(["d6", "d0", "d6"]), VECTORS[[6, 0, 6]])
    with pytest.raises(StorageError, match="2 documents are not in the table, e.g. id 'd7'"):
        table.lookup(["d8", "d1", "d7"])


def test_in_a_folder_a_table_with_another_name_is_found_by_the_encoder_that_made_it(tmp_path: Path):
    data = write_corpus(tmp_path / "data", [{"document_id": "d"}], 1)
    row = np.eye(1, 4, dtype=np.float32)
    one = write_table(tmp_path / "tables/5c1d-77", data, row, encoder="one")
    write_table(tmp_path / "tables/9a0b-12", data, row, encoder="two")
    folder = str(tmp_path / "tables")
    assert open_table_of(folder, "one") == open_table_of(folder, "one", one.version) == one
    write_table(tmp_path / "tables/one.lance", data, row, encoder="one")
    assert open_table_of(folder, "one").uri == f"{folder}/one.lance", "the one that has its name"
    with pytest.raises(StorageError, match="no embedding table there, nor one of encoder three"):
        open_table_of(folder, "three")
    write_table(tmp_path / "tables/another", data, row, encoder="two")
    with pytest.raises(
        StorageError, match=r"2 tables of encoder two \(9a0b-12, another\); give the path of one"
    ):
        open_table_of(folder, "two")


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:500])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _overwrite(file: Path) -> None:
    """Overwrite a file but keep its size."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, r"found 500 bytes, expected [\d,]+. The table is damaged"),
        (_empty, r"found 0 bytes, expected [\d,]+. The table is damaged"),
        (Path.unlink, "no such file. The table is damaged"),
        (
            _overwrite,
            "cannot read the table: .* The table is damaged: copy it again, or encode the corpus",
        ),
    ],
)
def test_a_damaged_file_of_a_table_is_told_with_its_name(
    damage: Callable[[Path], None], reason: str, tmp_path: Path
):
    corpus = write_corpus(tmp_path / "data", [{"document_id": f"d{n}"} for n in range(7)], 3)
    uri = write_table(tmp_path / "t.lance", corpus, VECTORS).uri
    damage(max(Path(uri, "data").iterdir()))
    readers: list[Callable[[Table], object]] = [
        lambda table: [read_shard(shard) for shard in table.shards()],
        lambda table: list(table.keys()),
        lambda table: table.lookup([f"d{n}" for n in range(7)]),
    ]
    for read in readers:
        with pytest.raises(StorageError, match=f"t.lance: .*{reason}") as error:
            read(open_table_of(uri, "by hand"))
        assert "\n" not in str(error.value)
        assert "rust" not in str(error.value)
