"""A table's versions: listed, gone back to, compacted, verified, exported; by hand-made vectors, without a model."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.commit import commit_table, tag_version
from medembed.encoding.config import EncodingConfig
from medembed.encoding.export import export
from medembed.encoding.maintain import compact, list_versions, open_table, rollback
from medembed.encoding.table import Table
from medembed.encoding.verify import verify
from medembed.errors import StorageError
from medembed.matryoshka import truncate
from tests.alone import alone
from tests.tables import write_corpus, write_table

NAMES = [f"d{n}" for n in range(9)]
VECTORS = truncate(np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32), 8)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Dataset, Table, Table]:
    """(data set, the first version of its table, a second one without d1 and d4)."""
    dataset = write_corpus(tmp_path / "data", [{"document_id": name} for name in NAMES], 3)
    first = write_table(tmp_path / "t.lance", dataset, VECTORS)
    second = commit_table(first.uri, [], first.info, base=first, dead=[(0, ["d1"]), (1, ["d4"])])
    tag_version(second)
    return dataset, first, second


def test_versions_are_listed_and_one_can_be_gone_back_to_by_number_or_tag(written: tuple[Dataset, Table, Table]):
    _, first, second = written
    listed = list_versions(first.uri)
    assert [(one.version, one.rows, one.fragments) for one in listed] == [(1, 9, 3), (2, 7, 3)]
    assert listed[1].tags == ("by-hand.by-hand",)
    back = rollback(first.uri, 1)
    assert (back.version, back.rows) == (3, 9)
    assert rollback(first.uri, "by-hand.by-hand").rows == second.rows == 7
    assert open_table(first.uri, 3).rows == 9
    with pytest.raises(StorageError, match="no version or tag '9'; there are 1, 2, 3, 4, by-hand.by-hand"):
        rollback(first.uri, 9)
    with pytest.raises(StorageError, match="no embedding table there"):
        open_table(first.uri + "x")


def test_compacting_keeps_rows_and_facts_and_drops_old_versions(written: tuple[Dataset, Table, Table]):
    _, first, second = written
    (Path(first.uri) / "_staging/old").mkdir(parents=True)
    table, counts = compact(first.uri, keep_days=0)
    assert (table.rows, table.info) == (7, second.info)
    assert counts["fragments_removed"] >= 2
    assert counts["versions_removed"] >= 1
    assert np.array_equal(table.lookup(["d0", "d8"]), VECTORS[[0, 8]])
    assert not (Path(first.uri) / "_staging").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_sound_table_verifies_and_each_fault_is_named(written: tuple[Dataset, Table, Table], tmp_path: Path):
    dataset, first, second = written
    config = EncodingConfig(workers=2)
    with alone():
        assert verify(first, dataset.corpus_files(), None, config).faults == ()
        assert verify(second, dataset.corpus_files(), None, config).faults == ("against the data set: 2 added",)
    broken = VECTORS.copy()
    broken[2, 0], broken[5] = np.nan, broken[5] * 2
    found = verify(write_table(tmp_path / "b.lance", dataset, broken), None, None, config)
    assert found.rows == 9
    assert found.faults == ("1 vectors are no numbers, e.g. id 'd2'", "1 vectors have no unit norm, e.g. id 'd5'")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_an_export_is_parquet_with_ids_and_truncated_unit_vectors(
    written: tuple[Dataset, Table, Table], tmp_path: Path
):
    _, first, _ = written
    folder = export(first, str(tmp_path / "out"), 4, 2)
    rows = pq.read_table(f"{folder}/vectors", columns=["document_id", "embedding"]).sort_by("document_id")
    assert rows["document_id"].to_pylist() == NAMES
    assert np.array_equal(np.array(rows["embedding"].to_pylist(), np.float32), truncate(VECTORS, 4))
    assert export(first, str(tmp_path / "out"), 4, 2) == folder
